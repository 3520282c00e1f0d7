//! The idempotency key is the same on each attempt and redrive, and belongs to one payload.

use super::ledger::{Ledger, Restore};
use super::{Checker, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{DeliveryId, Event, TriggerId};

#[derive(Default)]
pub(super) struct Keys {
    of: Ledger<BTreeMap<DeliveryId, String>>,
    carries: BTreeMap<String, (TriggerId, Event)>,
}

impl Checker for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.of]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        let Observation::ExecutionStarted { delivery, .. } = observation else { return Ok(()) };
        let key = delivery.idempotency_key();
        if snapshot.survives(delivery.claim()) {
            let before = self.of.entry(delivery.id).or_insert_with(|| key.clone());
            if *before != key {
                return Err(format!("{} runs under {key}, before under {before}", delivery.id));
            }
        }
        let carries = (delivery.trigger_id, delivery.event.clone());
        match self.carries.get(&key) {
            Some(before) if *before != carries => Err(format!("{key} has two payloads")),
            Some(_) => Ok(()),
            None => {
                self.carries.insert(key, carries);
                Ok(())
            }
        }
    }
}
