//! A trigger's `max_concurrency` holds over all daemons, as far as leases can show. After the limit
//! was lowered, no row is claimed until enough executions have ended. Only an exchange claims rows
//! of such a trigger, because an inline claim does not count its slots.

use super::{Checker, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::{Claim, Delivery, DeliveryId, ExchangeReply, OpId, Reply};

#[derive(Default)]
pub(super) struct Limits {
    /// Running executions, with the limit at the time of their claim.
    running: BTreeMap<OpId, (Claim, u32)>,
    /// The limit at the time of each claim.
    limits: BTreeMap<Claim, u32>,
}

impl Limits {
    /// The claims of one lane with a limit were applied. `lane` is one of its rows.
    fn check_claim(
        &mut self,
        claimed: &[Arc<Delivery>],
        lane: &Delivery,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        let Some(limit) = snapshot.store.limit(lane.trigger_id) else { return Ok(()) };
        let of_lane = claimed.iter().filter(|row| row.trigger_id == lane.trigger_id);
        self.limits.extend(of_lane.map(|row| (row.claim(), limit)));
        let rows = || snapshot.store.rows_after(DeliveryId(i64::MIN)).filter(|row| row.trigger == lane.trigger_id);
        let live = rows().filter(|row| row.lease_until > snapshot.store.now()).count();
        probes.sometimes(Probe::Limited, rows().count() > live && live == limit as usize);
        if live > limit as usize {
            return Err(format!("{live} rows of a trigger that allows {limit} are claimed"));
        }
        Ok(())
    }
}

impl Checker for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::ExecutionStarted { op, delivery, .. } if delivery.trigger_name.as_str() == "limited" => {
                let claim = delivery.claim();
                let limit = self.limits.get(&claim).copied().unwrap_or_default();
                self.running.insert(*op, (claim, limit));
                let is_live = |(claim, _): &&(Claim, u32)| {
                    let row = snapshot.store.row(claim.delivery).filter(|row| row.lease == claim.lease);
                    row.is_some_and(|row| row.lease_until > snapshot.store.now())
                };
                let (live, limits): (Vec<Claim>, Vec<u32>) = self.running.values().filter(is_live).copied().unzip();
                let allowed = limits.into_iter().max().unwrap_or_default();
                if live.len() > allowed as usize {
                    return Err(format!("{} executions of a trigger that allowed {allowed}", live.len()));
                }
            }
            Observation::StoreApplied { op, reply: Reply::Exchange(ExchangeReply { claimed, .. }), .. } => {
                if let Some(lane) = claimed.iter().find(|row| row.trigger_name.as_str() == "limited") {
                    if op.seq == u64::MAX {
                        return Err(format!("the row {} of a limited lane is claimed inline", lane.id));
                    }
                    return self.check_claim(claimed, lane, snapshot, probes);
                }
            }
            Observation::ExecutionEnded { op, .. } => _ = self.running.remove(op),
            _ => {}
        }
        Ok(())
    }
}
