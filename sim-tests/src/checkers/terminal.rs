//! A finished delivery stays finished: it has no row, no claim and no second end. A redrive is a
//! new delivery.

use super::ledger::{Ledger, Restore};
use super::{Checker, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{DeliveryId, ExchangeReply, Reply, Request, Settlement, Verdict};

#[derive(Default)]
pub(super) struct Terminal {
    ended: Ledger<BTreeMap<DeliveryId, &'static str>>,
}

/// The settlements of a request that were applied.
pub(super) fn applied<'a>(request: &'a Request, reply: &'a Reply) -> impl Iterator<Item = &'a Settlement> {
    let (settle, refused): (&[Settlement], BTreeSet<_>) = match (request, reply) {
        (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { fenced, conflicted, .. })) => {
            (settle, fenced.iter().chain(conflicted).copied().collect())
        }
        _ => (&[], BTreeSet::new()),
    };
    settle.iter().filter(move |settlement| !refused.contains(&settlement.claim))
}

/// True if this verdict finishes the delivery.
pub(super) fn ends(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Retry { .. } | Verdict::Deferred { .. } | Verdict::Executed { .. })
}

impl Checker for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.ended]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        let Observation::StoreApplied { request, reply, .. } = observation else { return Ok(()) };
        for settlement in applied(request, reply) {
            let (id, name) = (settlement.claim.delivery, settlement.verdict.name());
            if let Some(before) = self.ended.get(&id) {
                return Err(format!("{id} ended as {before} and again as {name}"));
            }
            if ends(&settlement.verdict) {
                self.ended.insert(id, name);
                if snapshot.store.row(id).is_some() {
                    return Err(format!("{id} ended as {name} but its row still exists"));
                }
            }
        }
        if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
            for row in claimed {
                if let Some(before) = self.ended.get(&row.id) {
                    return Err(format!("{} ended as {before} but is claimed", row.id));
                }
            }
        }
        Ok(())
    }
}
