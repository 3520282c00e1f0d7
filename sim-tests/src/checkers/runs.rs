//! A run lasts from the start of its handler to its end. The wait for a thread is reported apart.
//! The record of a failed attempt says the same.

use super::terminal::applied;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{Attempt, Claim, Fact, OpId, Run, Settlement, Timestamp, Verdict};

#[derive(Default)]
pub(super) struct Runs {
    executions: BTreeMap<OpId, (Claim, Times)>,
    /// The last run of each claim.
    ended: BTreeMap<Claim, Times>,
    last_store: i64,
    last_now: u64,
    last_clock_jump: u64,
}

#[derive(Clone, Copy)]
struct Times {
    of: Life,
    permit_at: u64,
    began_at: Option<u64>,
    /// The start of the handler by the store's clock.
    started_at: Timestamp,
    ended_at: u64,
}

/// The timers of tier 2 wait 1 ms at least, and an answer with the store's clock takes up to 3 ms.
const TOLERANCE: u64 = 5_000;
/// After the end of a fault, the next answer of the store corrects the estimate of its clock.
const SETTLES_AFTER: u64 = 1_000_000;

impl Runs {
    fn begin(&mut self, op: OpId, snapshot: &Snapshot<'_>) {
        if let Some((_, times)) = self.executions.get_mut(&op) {
            (times.began_at, times.started_at) = (Some(snapshot.now), snapshot.store.now());
        }
    }

    fn end(&mut self, op: OpId, is_known: bool, now: u64) {
        let Some((claim, times)) = self.executions.remove(&op) else { return };
        match times.began_at {
            Some(_) if is_known => _ = self.ended.insert(claim, Times { ended_at: now, ..times }),
            _ => _ = self.ended.remove(&claim),
        }
    }

    /// The times of a run, if no fault has changed a clock since it got its permit.
    fn exact(&self, claim: Claim, snapshot: &Snapshot<'_>) -> Option<(Times, u64)> {
        let times = *self.ended.get(&claim)?;
        let disturbed_until = snapshot.trouble[times.of.daemon].until.max(self.last_clock_jump);
        let is_exact = disturbed_until == 0 || disturbed_until + SETTLES_AFTER < times.permit_at;
        Some((times, times.began_at?)).filter(|_| is_exact)
    }

    fn check_run(&self, claim: Claim, run: Run, snapshot: &Snapshot<'_>) -> Result<(), String> {
        let Some((times, began_at)) = self.exact(claim, snapshot) else { return Ok(()) };
        let (waited, ran) = (began_at - times.permit_at, times.ended_at - began_at);
        let is_near = |reported: u64, truth: u64| reported.abs_diff(truth) <= TOLERANCE;
        let is_true = is_near(run.start_wait.0, waited) && is_near(run.duration.0, ran);
        if is_true && run.started_at.0.abs_diff(times.started_at.0) <= TOLERANCE {
            return Ok(());
        }
        let began = times.started_at;
        Err(format!("{claim} waited {waited} µs, began at {began:?} and ran {ran} µs, but reports {run:?}"))
    }

    fn check_attempt(
        &self,
        settlement: &Settlement,
        failed: &Attempt,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let claim = settlement.claim;
        let (Some(duration), Some((times, began_at))) = (failed.duration, self.exact(claim, snapshot)) else {
            return Ok(());
        };
        let start_wait = tidegate_core::Micros(began_at - times.permit_at);
        probes.sometimes(Probe::FailedAfterWait, start_wait.0 > TOLERANCE);
        self.check_run(claim, Run { start_wait, started_at: failed.started_at, duration }, snapshot)
    }

    /// Records whether the store's clock ran at the world's rate.
    fn watch_clock(&mut self, snapshot: &Snapshot<'_>) {
        let (store, now) = (snapshot.store.now().0, snapshot.now);
        if self.last_now > 0 && store - self.last_store != (now - self.last_now) as i64 {
            self.last_clock_jump = now;
        }
        (self.last_store, self.last_now) = (store, now);
    }
}

impl Checker for Runs {
    fn name(&self) -> &'static str {
        "runs"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        self.watch_clock(snapshot);
        match observation {
            Observation::ExecutionStarted { of, op, delivery } => {
                let (permit_at, started_at) = (snapshot.now, Timestamp::EPOCH);
                let times = Times { of: *of, permit_at, began_at: None, started_at, ended_at: 0 };
                self.executions.insert(*op, (delivery.claim(), times));
            }
            Observation::HandlerBegan { op } => self.begin(*op, snapshot),
            Observation::ExecutionEnded { op, outcome, .. } => {
                // An execution that was cancelled has reported no start wait.
                self.end(*op, outcome.is_some_and(|outcome| outcome.is_started()), snapshot.now);
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let failed = match &settlement.verdict {
                        Verdict::Retry { failed, .. } | Verdict::HandlerFailed { failed } => Some(failed),
                        Verdict::Dead { failed, .. } => failed.as_ref(),
                        _ => None,
                    };
                    if let Some(failed) = failed {
                        self.check_attempt(settlement, failed, snapshot, probes)?;
                    }
                }
            }
            Observation::Fact { fact: Fact::DeliverySettled { delivery, run: Some(run), .. }, .. } => {
                return self.check_run(delivery.claim(), *run, snapshot);
            }
            _ => {}
        }
        Ok(())
    }
}
