//! A daemon runs one row that was lost at a time, so that a crash identifies the row that causes
//! it. All rows of an expired claim become suspects, also those that it held ahead. Suspects are
//! claimed only on request: one that was lost, alone, or as many as requested that were held ahead.
//! The same request ends all expired claims of the lane, and passes over no suspect that is due.

use super::ledger::{Ledger, Restore};
use super::terminal::applied;
use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{Claim, Delivery, DeliveryId, ExchangeReply, OpId, Reply, Request, SuspectClaim, TriggerId};

#[derive(Default)]
pub(super) struct Quarantine {
    rows: Ledger<Rows>,
    /// The claims of rows that were lost before.
    lost: BTreeSet<Claim>,
    /// Those of them that run.
    running: BTreeMap<OpId, (Life, DeliveryId)>,
}

#[derive(Clone, Default)]
struct Rows {
    /// The rows that claims hold, and their lanes.
    held: BTreeMap<DeliveryId, TriggerId>,
    /// The suspects that no claim holds.
    suspects: BTreeSet<DeliveryId>,
}

impl Quarantine {
    /// The expired claims of a lane are ended.
    fn end_expired(&mut self, lane: TriggerId, snapshot: &Snapshot<'_>) -> Result<(), String> {
        let now = snapshot.store.now();
        if let Some(row) = snapshot.store.lane(lane).find(|row| row.is_expired(now)) {
            return Err(format!("the expired claim {} of the row {} is not ended", row.lease, row.id));
        }
        let is_held = |id: &DeliveryId| snapshot.store.row(*id).is_some_and(tidegate_io_sim::Row::is_leased);
        let rows = &mut *self.rows;
        let lost = rows.held.extract_if(.., |id, trigger| *trigger == lane && !is_held(id));
        rows.suspects.extend(lost.map(|(id, _)| id));
        Ok(())
    }

    fn check_suspects(claim: SuspectClaim, suspects: &[Arc<Delivery>], snapshot: &Snapshot<'_>) -> Result<(), String> {
        let SuspectClaim { trigger, quota, .. } = claim;
        let was_lost = suspects.iter().any(|row| row.was_lost());
        if suspects.len() > if was_lost { 1 } else { quota as usize } {
            let ids: Vec<DeliveryId> = suspects.iter().map(|row| row.id).collect();
            return Err(format!("the suspects {ids:?} are claimed together, with a quota of {quota}"));
        }
        if snapshot.store.is_paused(trigger) || snapshot.store.is_limited(trigger) {
            return Ok(());
        }
        let now = snapshot.store.now();
        let is_waiting = |row: &&tidegate_io_sim::Row| !row.is_leased() && row.is_suspect && row.due_at <= now;
        let passed_over = snapshot.store.lane(trigger).filter(is_waiting).find(|row| match suspects.last() {
            None => true,
            Some(last) if was_lost => (row.lost, row.due_at, row.id) < (last.lost, last.due_at, last.id),
            Some(_) => row.lost == 0 && suspects.len() < quota as usize,
        });
        passed_over.map_or(Ok(()), |row| Err(format!("the due suspect {} is passed over", row.id)))
    }

    fn check_exchange(
        &mut self,
        suspect: Option<SuspectClaim>,
        reply: &ExchangeReply,
        snapshot: &Snapshot<'_>,
    ) -> Result<(), String> {
        suspect.map_or(Ok(()), |claim| self.end_expired(claim.trigger, snapshot))?;
        let (claimed, suspects) = reply.split_claimed();
        if let Some(row) = claimed.iter().find(|row| row.was_lost() || self.rows.suspects.contains(&row.id)) {
            return Err(format!("the suspect {} is claimed without a request", row.id));
        }
        suspect.map_or(Ok(()), |claim| Self::check_suspects(claim, suspects, snapshot))?;
        self.lost.extend(suspects.iter().filter(|row| row.was_lost()).map(|row| row.claim()));
        self.hold(&reply.claimed);
        Ok(())
    }

    fn hold(&mut self, rows: &[Arc<Delivery>]) {
        for row in rows {
            self.rows.suspects.remove(&row.id);
            self.rows.held.insert(row.id, row.trigger_id);
        }
    }
}

impl Checker for Quarantine {
    fn name(&self) -> &'static str {
        "quarantine"
    }

    fn ledgers(&mut self) -> Vec<&mut dyn Restore> {
        vec![&mut self.rows]
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        probes: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreApplied { request, reply, .. } => {
                for settlement in applied(request, reply) {
                    self.rows.held.remove(&settlement.claim.delivery);
                }
                match (request, reply) {
                    (Request::Exchange { suspect, .. }, Reply::Exchange(reply)) => {
                        probes.sometimes(Probe::SuspectsTogether, reply.suspects > 1);
                        self.check_exchange(*suspect, reply, snapshot)
                    }
                    (_, Reply::BeginCalls(reply)) => {
                        self.hold(&reply.deliveries);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Observation::ExecutionStarted { of, op, delivery } if self.lost.contains(&delivery.claim()) => {
                probes.sometimes(Probe::SuspectRan, true);
                if let Some((_, other)) = self.running.values().find(|(life, _)| life == of) {
                    return Err(format!("daemon {} runs the suspects {other} and {} at once", of.daemon, delivery.id));
                }
                self.running.insert(*op, (*of, delivery.id));
                Ok(())
            }
            Observation::ExecutionEnded { op, .. } => {
                self.running.remove(op);
                Ok(())
            }
            Observation::LifeEnded { of } => {
                self.running.retain(|_, (life, _)| life != of);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
