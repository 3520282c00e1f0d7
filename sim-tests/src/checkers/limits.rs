//! A trigger's `max_concurrency` holds over all daemons, as far as leases can show. Only an
//! exchange claims rows of such a trigger, because an inline claim does not count its slots.

use super::{Checker, Observation, Snapshot};
use crate::app::LIMIT;
use crate::probes::{Probe, Probes};
use std::collections::BTreeMap;
use tidegate_core::{Claim, DeliveryId, ExchangeReply, OpId, Reply};

#[derive(Default)]
pub(super) struct Limits {
    running: BTreeMap<OpId, Claim>,
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
                self.running.insert(*op, delivery.claim());
                let is_live = |claim: &&Claim| {
                    let row = snapshot.store.row(claim.delivery).filter(|row| row.lease == claim.lease);
                    row.is_some_and(|row| row.lease_until > snapshot.store.now())
                };
                let live = self.running.values().filter(is_live).count();
                if live > LIMIT as usize {
                    return Err(format!("{live} executions of a trigger that allows {LIMIT}"));
                }
            }
            Observation::StoreApplied { op, reply: Reply::Exchange(ExchangeReply { claimed, .. }), .. } => {
                if let Some(lane) = claimed.iter().find(|row| row.trigger_name.as_str() == "limited") {
                    if op.seq == u64::MAX {
                        return Err(format!("the row {} of a limited lane is claimed inline", lane.id));
                    }
                    let of_lane = || {
                        let rows = snapshot.store.rows_after(DeliveryId(i64::MIN));
                        rows.filter(|row| row.trigger == lane.trigger_id)
                    };
                    let live = of_lane().filter(|row| row.lease_until > snapshot.store.now()).count();
                    probes.sometimes(Probe::Limited, of_lane().count() > live && live == LIMIT as usize);
                }
            }
            Observation::ExecutionEnded { op, .. } => _ = self.running.remove(op),
            _ => {}
        }
        Ok(())
    }
}
