//! No lease expires in the hands of a healthy daemon, because the daemon renews or settles it. So
//! every second execution, and every second success, has a recorded cause. No claim with a valid
//! lease is reported lost.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{BeginCallsReply, Delivery, DeliveryId, ExchangeReply, Fact, Outcome, Reply, Request, Verdict};

#[derive(Default)]
pub(super) struct Expiry {
    held: Ledger<BTreeMap<DeliveryId, (Life, u64)>>,
    succeeded: Ledger<BTreeSet<DeliveryId>>,
    released: Ledger<BTreeSet<DeliveryId>>,
    last_clock_jump: u64,
    last_store: i64,
    last_now: u64,
}

impl Expiry {
    fn check_claim(
        &mut self,
        of: Life,
        row: &Delivery,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let before = self.held.insert(row.id, (of, snapshot.now));
        let Some((holder, since)) = before else {
            // A released claim that had succeeded without being applied explains a second success.
            let is_unexplained = self.succeeded.contains(&row.id) && !self.released.contains(&row.id);
            return if is_unexplained { Err(format!("{} had succeeded but runs again", row.id)) } else { Ok(()) };
        };
        probes.sometimes(Probe::LeaseExpired, true);
        probes.sometimes(Probe::RanTwice, self.succeeded.contains(&row.id));
        let trouble = snapshot.trouble[holder.daemon];
        let is_dead = trouble.life != holder.life || !trouble.is_alive;
        if is_dead || trouble.until >= since || self.last_clock_jump >= since {
            return Ok(());
        }
        Err(format!("the lease of {} expired at daemon {}, which was healthy", row.id, holder.daemon))
    }

    /// A claim whose answer took long may be reported lost. A claim with a valid lease may not.
    fn check_lost_lease(&self, of: Life, delivery: &Delivery, snapshot: &Snapshot<'_>) -> Result<(), String> {
        let since = self.held.get(&delivery.id).map_or(0, |(_, since)| *since);
        let row = snapshot.store.row(delivery.id).filter(|row| row.lease == delivery.lease);
        let holds = row.is_some_and(|row| row.lease_until > snapshot.store.now());
        if holds && snapshot.trouble[of.daemon].until < since && self.last_clock_jump < since {
            return Err(format!("{} is reported lost, but its lease is valid", delivery.claim()));
        }
        Ok(())
    }

    /// Records whether the store's clock ran at the world's rate.
    fn watch_clock(&mut self, snapshot: &Snapshot<'_>) {
        let (store, now) = (snapshot.store.now().0, snapshot.now);
        if store - self.last_store != (now - self.last_now) as i64 {
            self.last_clock_jump = now;
        }
        (self.last_store, self.last_now) = (store, now);
    }
}

impl Checker for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.held, &mut self.succeeded, &mut self.released]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        self.watch_clock(snapshot);
        match observation {
            // Leases that began after the clock was set back become shorter.
            Observation::TimesMoved { .. } => {
                self.last_clock_jump = snapshot.now;
                Ok(())
            }
            Observation::StoreApplied { of, request, reply, .. } => {
                for settlement in applied(request, reply) {
                    if !matches!(settlement.verdict, Verdict::Executed { .. }) {
                        self.held.remove(&settlement.claim.delivery);
                    }
                    if matches!(settlement.verdict, Verdict::Deferred { .. } | Verdict::Retry { .. }) {
                        self.released.insert(settlement.claim.delivery);
                    }
                }
                match (request, reply) {
                    (Request::Exchange { .. }, Reply::Exchange(ExchangeReply { claimed, .. })) => {
                        claimed.iter().try_for_each(|row| self.check_claim(*of, row, snapshot, probes))
                    }
                    (Request::BeginCalls { .. }, Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                        self.held.extend(deliveries.iter().map(|row| (row.id, (*of, snapshot.now))));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Observation::ExecutionEnded { claim, outcome: Some(Outcome::Succeeded { .. }), .. } => {
                if snapshot.survives(*claim) {
                    self.succeeded.insert(claim.delivery);
                }
                Ok(())
            }
            Observation::Fact { of, fact: Fact::LeaseLost { delivery } } => {
                self.check_lost_lease(*of, delivery, snapshot)
            }
            _ => Ok(()),
        }
    }
}
