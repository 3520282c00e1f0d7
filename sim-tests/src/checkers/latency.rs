//! While nothing is wrong, no lane waits: due rows without a claim are claimed within a poll if
//! permits are free, and a retry does not wait for its lease. A lane with running executions waits
//! for them.

use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{DeliveryId, Fact, TriggerId};

/// The longest rest of a lane whose handlers do not start, in microseconds.
const REST_MAX: u64 = 4_000_000;

#[derive(Default)]
pub(super) struct Latency {
    waits_since: BTreeMap<TriggerId, u64>,
    /// When a handler of the lane last did not start.
    refused_at: BTreeMap<TriggerId, u64>,
}

impl Checker for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        if let Observation::Fact { fact: Fact::HandlerNotStarted { delivery, .. }, .. } = observation {
            self.refused_at.insert(delivery.trigger_id, snapshot.now);
        }
        let Observation::LatencySample { has_room } = observation else { return Ok(()) };
        let now = snapshot.store.now();
        let mut lanes: BTreeMap<TriggerId, (bool, bool)> = BTreeMap::new();
        for row in snapshot.store.rows_after(DeliveryId(i64::MIN)) {
            let (waits, held) = lanes.entry(row.trigger).or_default();
            *waits |= row.due_at <= now && row.lease_until <= now;
            *held |= row.lease_until > now;
        }
        for (trigger, (waits, _)) in &lanes {
            probes.sometimes(Probe::PausedTrigger, *waits && snapshot.store.is_paused(*trigger));
        }
        self.waits_since.retain(|trigger, _| lanes.get(trigger) == Some(&(true, false)));
        for (trigger, state) in lanes {
            let may_rest = self.refused_at.get(&trigger).is_some_and(|at| snapshot.now < at + REST_MAX);
            if state != (true, false) || snapshot.store.is_paused(trigger) || !has_room || may_rest {
                self.waits_since.remove(&trigger);
                continue;
            }
            let waited = snapshot.now - *self.waits_since.entry(trigger).or_insert(snapshot.now);
            if waited > snapshot.wait_max {
                return Err(format!("the lane {trigger} has had due rows for {waited} µs, with free permits"));
            }
        }
        Ok(())
    }
}
