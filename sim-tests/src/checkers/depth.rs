//! A chain that is too deep is dropped: it is not executed, is counted once, and never becomes a
//! dead letter. Only the handler of a dead letter may be one deeper than other deliveries. It is
//! never dropped.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Observation, Snapshot};
use crate::app::MAX_DEPTH;
use crate::probes::{Probe, Probes};
use std::collections::BTreeSet;
use tidegate_core::{DeadLetterId, Delivery, DeliveryId, ExchangeReply, Kind, Reply, Verdict};

#[derive(Default)]
pub(super) struct Depth {
    too_deep: Ledger<BTreeSet<DeliveryId>>,
    dropped: Ledger<u64>,
}

/// Whether the delivery must be dropped.
fn is_too_deep(row: &Delivery) -> bool {
    let is_handler = matches!(row.kind(), Kind::DeadLetterHandler(_));
    row.event.depth > MAX_DEPTH + u32::from(is_handler)
}

impl Checker for Depth {
    fn name(&self) -> &'static str {
        "depth"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.too_deep, &mut self.dropped]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { delivery, .. } if is_too_deep(delivery) => {
                return Err(format!("{} is executed at depth {}", delivery.id, delivery.event.depth));
            }
            Observation::ExecutionStarted { delivery, .. } => {
                probes.sometimes(Probe::LetterHandledDeepest, delivery.event.depth > MAX_DEPTH);
            }
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    let is_dropped = matches!(settlement.verdict, Verdict::Dropped);
                    let id = settlement.claim.delivery;
                    probes.sometimes(Probe::Dropped, is_dropped);
                    *self.dropped += u64::from(is_dropped);
                    let is_end = super::terminal::ends(&settlement.verdict);
                    if is_end && self.too_deep.contains(&id) != is_dropped {
                        return Err(format!("{id} ended as {}", settlement.verdict.name()));
                    }
                }
                if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
                    let deep = claimed.iter().filter(|row| is_too_deep(row));
                    self.too_deep.extend(deep.map(|row| row.id));
                }
            }
            Observation::RunEnded => {
                let counted = snapshot.store.dropped_in_all();
                if counted != *self.dropped {
                    return Err(format!("{} were dropped, {counted} were counted", *self.dropped));
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
