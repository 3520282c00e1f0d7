//! The claims that each daemon has made in all its lives. The store ends them when the daemon
//! starts again.

use super::Observation;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{BeginCallsReply, ExchangeReply, Lease, Reply};

#[derive(Default)]
pub(super) struct ClaimsMade(BTreeMap<usize, BTreeSet<Lease>>);

impl ClaimsMade {
    pub(super) fn record(&mut self, observation: &Observation<'_>) {
        let Observation::StoreApplied { of, reply, .. } = observation else { return };
        if let Reply::Exchange(ExchangeReply { claimed: rows, .. })
        | Reply::BeginCalls(BeginCallsReply { deliveries: rows, .. }) = reply
            && !rows.is_empty()
        {
            self.0.entry(of.daemon).or_default().extend(rows.iter().map(|row| row.lease));
        }
    }

    pub(super) fn of(&self, daemon: usize) -> BTreeSet<Lease> {
        self.0.get(&daemon).cloned().unwrap_or_default()
    }
}
