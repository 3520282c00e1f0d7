//! A daemon runs one suspect at a time, so that a crash identifies the row that causes it. Suspects
//! are claimed alone and only on request. The same request ends all expired claims of the lane, and
//! passes over no suspect that is due.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{Claim, Delivery, DeliveryId, ExchangeReply, OpId, Reply, Request, SuspectClaim};

#[derive(Default)]
pub(super) struct Quarantine {
    /// The claims of suspects, by their answers from the store.
    suspects: BTreeSet<Claim>,
    /// The suspects that run.
    running: BTreeMap<OpId, (Life, DeliveryId)>,
}

impl Quarantine {
    fn check_claims(
        suspect: Option<SuspectClaim>,
        claimed: &[Delivery],
        snapshot: &Snapshot<'_>,
    ) -> Result<(), String> {
        let suspects: Vec<&Delivery> = claimed.iter().filter(|row| row.lost > 0).collect();
        if suspects.len() > usize::from(suspect.is_some()) {
            let ids: Vec<DeliveryId> = suspects.iter().map(|row| row.id).collect();
            return Err(format!("the suspects {ids:?} are claimed together, or without a request"));
        }
        let Some(SuspectClaim { trigger, .. }) = suspect else { return Ok(()) };
        let now = snapshot.store.now();
        if let Some(row) = snapshot.store.lane(trigger).find(|row| row.is_expired(now)) {
            return Err(format!("the expired claim {} of the row {} is not ended", row.lease, row.id));
        }
        let mut waiting = snapshot.store.lane(trigger).filter(|row| !row.is_leased() && row.lost > 0);
        let is_open = !snapshot.store.is_paused(trigger) && !snapshot.store.is_limited(trigger);
        match waiting.find(|row| row.due_at <= now) {
            Some(row) if suspects.is_empty() && is_open => Err(format!("the due suspect {} is passed over", row.id)),
            _ => Ok(()),
        }
    }
}

impl Checker for Quarantine {
    fn name(&self) -> &'static str {
        "quarantine"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied {
                op,
                request: Request::Exchange { suspect, .. },
                reply: Reply::Exchange(ExchangeReply { claimed, .. }),
                ..
            } if op.seq != u64::MAX => {
                self.suspects.extend(claimed.iter().filter(|row| row.lost > 0).map(Delivery::claim));
                Self::check_claims(*suspect, claimed, snapshot)
            }
            Observation::ExecutionStarted { of, op, delivery } if self.suspects.contains(&delivery.claim()) => {
                probes.sometimes(Probe::SuspectRan, true);
                if let Some((_, other)) = self.running.values().find(|(life, _)| life == of) {
                    return Err(format!("daemon {} runs the suspects {other} and {} at once", of.daemon, delivery.id));
                }
                self.running.insert(*op, (*of, delivery.id));
                Ok(())
            }
            Observation::ExecutionEnded { op, .. } => {
                self.running.remove(op);
                Ok(())
            }
            Observation::LifeEnded { of } => {
                self.running.retain(|_, (life, _)| life != of);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
