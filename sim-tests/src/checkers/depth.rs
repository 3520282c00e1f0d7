//! A chain that is too deep is dropped: it is not executed, is counted once, and never becomes a
//! dead letter.

use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::app::MAX_DEPTH;
use crate::probes::{Probe, Probes};
use std::collections::BTreeSet;
use tidegate_core::{DeadLetterId, DeliveryId, ExchangeReply, Reply, Verdict};

#[derive(Default)]
pub(super) struct Depth {
    too_deep: BTreeSet<DeliveryId>,
    dropped: u64,
}

impl Checker for Depth {
    fn name(&self) -> &'static str {
        "depth"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { delivery, .. } if delivery.event.depth > MAX_DEPTH => {
                return Err(format!("{} is executed at depth {}", delivery.id, delivery.event.depth));
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let is_dropped = matches!(settlement.verdict, Verdict::Dropped);
                    let id = settlement.claim.delivery;
                    probes.sometimes(Probe::Dropped, is_dropped);
                    self.dropped += u64::from(is_dropped);
                    let is_end = super::terminal::ends(&settlement.verdict);
                    if is_end && self.too_deep.contains(&id) != is_dropped {
                        return Err(format!("{id} ended as {}", settlement.verdict.name()));
                    }
                }
                if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
                    let deep = claimed.iter().filter(|row| row.event.depth > MAX_DEPTH);
                    self.too_deep.extend(deep.map(|row| row.id));
                }
            }
            Observation::RunEnded => {
                let counted = snapshot.store.dropped_in_all();
                if counted != self.dropped {
                    return Err(format!("{} were dropped, {counted} were counted", self.dropped));
                }
                let mut letters = snapshot.store.letters_after(DeadLetterId(i64::MIN));
                if let Some(letter) = letters.find(|letter| letter.event.depth > MAX_DEPTH) {
                    return Err(format!("a chain that is too deep became the dead letter {}", letter.id));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
