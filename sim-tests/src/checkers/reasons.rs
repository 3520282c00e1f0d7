//! A dead letter names its true reason. A delivery that may still be tried does not die, and a
//! shutdown costs it no attempt. A delivery whose principal may not run the handler is not
//! executed.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot, names};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{
    Attempt, Claim, DeadReason, Delivery, DeliveryId, ExchangeReply, ExecError, Incarnation, Reply, Settlement,
    Standing, Timestamp, Verdict,
};

#[derive(Default)]
pub(super) struct Reasons {
    rows: Ledger<BTreeMap<DeliveryId, Arc<Delivery>>>,
    /// The claims that each life has executed.
    executed_claims: BTreeSet<(Incarnation, Claim)>,
    /// Claims of rows that were already too old for another attempt.
    too_old: BTreeSet<Claim>,
    /// Claims of rows whose principal may not run the handler.
    denied: BTreeSet<Claim>,
}

/// The most that a daemon's estimate of the store's time may be off without a fault, in
/// microseconds.
const CLOCK_ERROR_MAX: i64 = 20_000;

/// The reason of a death after this error, with attempts left or after the last one.
fn reason_of(error: ExecError, is_last: bool) -> DeadReason {
    match error {
        ExecError::PrincipalDenied => DeadReason::PrincipalDenied,
        ExecError::HandlerMissing => DeadReason::HandlerMissing,
        error if !names::may_help(error) => DeadReason::Permanent,
        _ if is_last => DeadReason::AttemptsExhausted,
        _ => DeadReason::MaxAge,
    }
}

/// The fingerprint by its definition, and not by the code under test.
fn fingerprint(attempt: &Attempt) -> String {
    let line = attempt.message.split('\n').next().unwrap_or_default();
    let parts = line.split(|char: char| char.is_ascii_digit()).collect::<Vec<_>>();
    let mut text = format!("{}:", attempt.error.code());
    for (at, part) in parts.iter().enumerate() {
        let is_run = at > 1 && parts[at - 1].is_empty();
        if at > 0 && !is_run {
            text.push('#');
        }
        text.push_str(part);
    }
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    format!("{:016x}", text.bytes().fold(14_695_981_039_346_656_037, fnv))
}

impl Reasons {
    fn check_verdict(&self, by: Incarnation, one: &Settlement, now: Timestamp, is_well: bool) -> Result<(), String> {
        let Some(row) = self.rows.get(&one.claim.delivery) else { return Ok(()) };
        let id = row.id;
        match &one.verdict {
            Verdict::Retry { failed, .. } if failed.error == ExecError::Lost => {
                return Err(format!("{id} loses an attempt although it may begin again"));
            }
            Verdict::Retry { delay, failed } => {
                let too_late = row
                    .policy
                    .max_age()
                    .is_some_and(|age| now.plus(*delay).0 > row.enqueued_at.plus(age).0 + CLOCK_ERROR_MAX);
                if !names::may_help(failed.error) || (too_late && is_well) {
                    return Err(format!("{id} is tried again after {}, {} µs from now", failed.error, delay.0));
                }
            }
            Verdict::Dead { reason, attempts, failed, fingerprint: reported, .. } => {
                if let Some(failed) = failed.as_ref().filter(|failed| *reported != fingerprint(failed)) {
                    return Err(format!("{id} has another fingerprint than {failed:?}"));
                }
                let is_executed = self.executed_claims.contains(&(by, one.claim));
                let expected = row.attempt + row.lost - u32::from(!is_executed);
                if *attempts != expected {
                    return Err(format!("{id} died after {attempts} attempts, expected {expected}"));
                }
                let error = failed.as_ref().map(|failed| failed.error);
                let is_last = row.attempt >= row.policy.max_attempts();
                let expected = match error {
                    Some(error) => reason_of(error, is_last),
                    None if row.lost >= row.policy.max_lost() => DeadReason::Lost,
                    None => DeadReason::MaxAge,
                };
                let may_be_too_old = row.policy.max_age().is_some_and(|age| {
                    let most = row.policy.jitter_range(row.attempt).1.0 as i64 + CLOCK_ERROR_MAX;
                    !is_well || now.0 + most + 1_000_000 > row.enqueued_at.plus(age).0
                });
                // A first attempt is made at any age.
                let may_age = *attempts > 0 && may_be_too_old;
                let is_right = *reason == expected && (*reason != DeadReason::MaxAge || may_age);
                if !is_right {
                    return Err(format!("{id} died of {reason:?} after {error:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Checker for Reasons {
    fn name(&self) -> &'static str {
        "reasons"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.rows]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { op, delivery, .. } => {
                let claim = delivery.claim();
                if self.denied.contains(&claim) {
                    return Err(format!("{claim} is executed although its principal may not run it"));
                }
                if self.too_old.contains(&claim) {
                    return Err(format!("{claim} is executed but was too old for another attempt when it was claimed"));
                }
                self.executed_claims.insert((op.incarnation, claim));
            }
            Observation::StoreApplied { op, request, reply, .. } => {
                let is_well = snapshot.trouble.iter().all(|trouble| trouble.until == 0);
                for settlement in applied(request, reply) {
                    self.check_verdict(op.incarnation, settlement, snapshot.store.now(), is_well)?;
                    let is_old = matches!(&settlement.verdict, Verdict::Dead { reason: DeadReason::MaxAge, .. });
                    probes.sometimes(Probe::TooOld, is_old);
                }
                if let Reply::Exchange(ExchangeReply { claimed, now, .. }) = reply {
                    let is_too_old = |row: &&Arc<Delivery>| {
                        let age = row.policy.max_age().filter(|_| row.attempt > 1 || row.lost > 0);
                        age.is_some_and(|age| *now > row.enqueued_at.plus(age))
                    };
                    self.too_old.extend(claimed.iter().filter(is_too_old).map(|row| row.claim()));
                    let is_denied = |row: &&Arc<Delivery>| row.standing != Standing::Allowed;
                    self.denied.extend(claimed.iter().filter(is_denied).map(|row| row.claim()));
                    self.rows.extend(claimed.iter().map(|row| (row.id, Arc::clone(row))));
                }
            }
            Observation::RunEnded => {
                if let Some(what) = names::misnamed() {
                    return Err(what);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
