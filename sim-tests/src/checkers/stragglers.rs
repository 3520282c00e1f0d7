//! While nothing is wrong, a row that became visible late is found within a poll and a claim: no
//! claim takes later rows of its lane for longer than that. An idle lane is left to `latency`.

use super::{Checker, Observation, Snapshot};
use crate::app::AFTER_EFFECTS;
use crate::probes::Probes;
use std::collections::BTreeMap;
use tidegate_core::{DeliveryId, Reply, TriggerId};

#[derive(Default)]
pub(super) struct Stragglers {
    /// When a claim first took a later row than this one.
    passed_over: BTreeMap<DeliveryId, u64>,
    /// When a life last began or ended. A daemon that has just begun makes its discoveries first.
    last_change: u64,
}

impl Checker for Stragglers {
    fn name(&self) -> &'static str {
        "stragglers"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        if let Observation::Configured { batch_max: Some(_), .. } | Observation::LifeEnded { .. } = observation {
            self.last_change = snapshot.now;
        }
        let Observation::StoreApplied { op, reply: Reply::Exchange(reply), .. } = observation else { return Ok(()) };
        let is_free = |id: &DeliveryId| snapshot.store.row(*id).is_some_and(|row| row.waits());
        self.passed_over.retain(|id, _| is_free(id));
        let has_effects = |until: u64| until > 0 && snapshot.now <= until + AFTER_EFFECTS;
        let is_settled = self.last_change == 0 || snapshot.now > self.last_change + snapshot.wait_max;
        if !is_settled || snapshot.trouble.iter().any(|trouble| has_effects(trouble.until)) {
            self.passed_over.clear();
            return Ok(());
        }
        // An inline claim does not search its lanes.
        if op.seq == u64::MAX {
            return Ok(());
        }
        let mut last: BTreeMap<TriggerId, _> = BTreeMap::new();
        let (claimed, _) = reply.split_claimed();
        last.extend(claimed.iter().map(|row| (row.trigger_id, (row.due_at, row.id))));
        for (lane, last) in last {
            let earlier = snapshot.store.lane(lane).take_while(|row| (row.due_at, row.id) < last);
            for row in earlier.filter(|row| row.waits()) {
                let waited = snapshot.now - *self.passed_over.entry(row.id).or_insert(snapshot.now);
                if waited > snapshot.wait_max {
                    return Err(format!("claims of lane {lane} have passed over the row {} for {waited} µs", row.id));
                }
            }
        }
        Ok(())
    }
}
