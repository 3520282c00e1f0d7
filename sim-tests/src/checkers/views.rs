//! A dispatcher's view of itself is true. Readiness, metrics and people rely on it. An inline claim
//! takes no more rows than the view has room for.

use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::{
    BeginCallsReply, Claim, Delivery, DeliveryId, Disposition, ExchangeReply, Fact, InboxId, LaneQuota, Lease, OpId,
    Reply, Request, StoreError, TriggerId, View,
};
use tidegate_io_sim::Row;

#[derive(Default)]
pub(super) struct Views {
    lives: BTreeMap<Life, LifeState>,
    executions: BTreeMap<OpId, Life>,
}

/// The observed state of a life.
#[derive(Default)]
struct LifeState {
    running: u32,
    /// Calls that have a permit while their rows are written, by request.
    beginning: BTreeMap<OpId, u32>,
    /// Settlements of each exchange in flight.
    settling: BTreeMap<OpId, Vec<Claim>>,
    /// Quotas of each exchange in flight.
    quotas_in_flight: BTreeMap<OpId, Vec<LaneQuota>>,
    /// Rows of sync calls.
    calls: BTreeSet<Claim>,
    /// Rows that were claimed for async work and are neither started nor settled.
    waiting: BTreeMap<DeliveryId, Lease>,
    replying: u32,
    /// Lanes whose last claim was full, so that more rows wait in the store. A discovery may find
    /// that they are gone.
    full_lanes: BTreeSet<TriggerId>,
    /// The room for the next inline claim, or for the one in flight.
    inline_room: u32,
    store_failures: u32,
    /// A store call failed and none was made since, so settlements wait.
    backs_off: bool,
    stale: u64,
    shutting_down: bool,
    /// Callers that got a reply. A second reply is reported by another checker.
    callers_with_reply: BTreeSet<InboxId>,
}

impl LifeState {
    /// Returns a message if the view differs from the observed state.
    fn difference(&self, view: &View) -> Option<String> {
        let sent = self.settling.values().map(Vec::len).sum::<usize>() as u32;
        let pairs = [
            ("running", u64::from(view.running), u64::from(self.running + self.beginning.values().sum::<u32>())),
            ("replying", view.replying.into(), self.replying.into()),
            ("store_failures", view.store_failures.into(), self.store_failures.into()),
            ("stale", view.stale, self.stale),
            ("shutting_down", view.shutting_down.into(), self.shutting_down.into()),
        ];
        if let Some((what, shown, state)) = pairs.into_iter().find(|(_, shown, state)| shown != state) {
            return Some(format!("shows {what} {shown}, expected {state}"));
        }
        // Settlements that wait to be sent are invisible from outside. They wait for an exchange in
        // flight or for the back-off after a store failure.
        let is_sent = !self.settling.is_empty() || self.backs_off || view.settling == sent;
        if view.settling < sent || !is_sent {
            return Some(format!("shows {} settlements but has sent {sent}", view.settling));
        }
        // While an exchange is in flight, some of these rows may have ended and wait for the next
        // one.
        let waiting = self.waiting.len() as u32;
        if view.queued > view.held || (self.settling.is_empty() && !self.backs_off && view.queued != waiting) {
            return Some(format!("shows {} of {} rows queued, expected {waiting}", view.queued, view.held));
        }
        let requested: u32 = self.quotas_in_flight.values().flatten().map(|quota| quota.quota).sum();
        let free = view.permits.saturating_sub(view.running).saturating_sub(requested);
        if view.inline_room > if view.shutting_down { 0 } else { free } {
            return Some(format!(
                "shows inline room for {} rows beside {requested} requested rows: {view:?}",
                view.inline_room
            ));
        }
        if view.queued > 0 && view.lanes == 0 {
            return Some(format!("shows {} queued rows and no lane", view.queued));
        }
        None
    }

    /// Returns the reason why one of these lanes is closed to inline claims. While an exchange is
    /// in flight or the store fails, a row that seems to wait may have ended without a start.
    fn closing_reason(&self, claim: &[LaneQuota], snapshot: &Snapshot<'_>) -> Option<String> {
        let is_claimed = |trigger: TriggerId| claim.iter().any(|quota| quota.trigger == trigger);
        if let Some(quota) = self.quotas_in_flight.values().flatten().find(|quota| is_claimed(quota.trigger)) {
            return Some(format!("an exchange in flight requests {} rows of this lane", quota.quota));
        }
        let is_well = snapshot.trouble.iter().all(|trouble| trouble.until == 0);
        if let Some(lane) = self.full_lanes.iter().find(|lane| is_well && is_claimed(**lane)) {
            return Some(format!("the last claim of lane {lane} was full"));
        }
        let mut waiting = self.waiting.iter().filter(|_| self.settling.is_empty() && !self.backs_off);
        // After a restore, the id of a row may be that of another row.
        let is_same = |row: &Row, lease: Lease| !snapshot.is_restored || row.lease == lease;
        let waits = |(id, lease): &(&DeliveryId, &Lease)| {
            snapshot.store.row(**id).is_some_and(|row| is_same(row, **lease) && is_claimed(row.trigger))
        };
        waiting.find(waits).map(|(row, _)| format!("its row {row} waits in this lane"))
    }

    fn remove_waiting(&mut self, claim: Claim) {
        if self.waiting.get(&claim.delivery) == Some(&claim.lease) {
            self.waiting.remove(&claim.delivery);
        }
    }

    fn record_full_lanes(&mut self, quotas: &[LaneQuota], claimed: &[Arc<Delivery>]) {
        for LaneQuota { trigger, quota, .. } in quotas {
            let rows = claimed.iter().filter(|row| row.trigger_id == *trigger).count();
            if rows < *quota as usize {
                self.full_lanes.remove(trigger);
            } else {
                self.full_lanes.insert(*trigger);
            }
        }
    }

    fn record_request(&mut self, op: OpId, request: &Request) {
        self.backs_off = false;
        match request {
            Request::BeginCalls { calls, .. } => _ = self.beginning.insert(op, calls.len() as u32),
            Request::Exchange { settle, claim, .. } => {
                self.quotas_in_flight.insert(op, claim.clone());
                let claims: Vec<Claim> = settle.iter().map(|one| one.claim).collect();
                claims.iter().for_each(|claim| self.remove_waiting(*claim));
                self.settling.insert(op, claims);
            }
            _ => {}
        }
    }

    fn record_answer(&mut self, op: OpId, result: &Result<Reply, StoreError>) {
        self.beginning.remove(&op);
        self.settling.remove(&op);
        let quotas = self.quotas_in_flight.remove(&op).unwrap_or_default();
        if let Ok(Reply::Exchange(reply)) = result {
            self.record_full_lanes(&quotas, reply.split_claimed().0);
        }
        self.backs_off |= result.is_err();
        self.store_failures = if result.is_ok() { 0 } else { self.store_failures + 1 };
        match result {
            Ok(Reply::Exchange(ExchangeReply { conflicted, claimed, .. })) => {
                let is_latest = |claim: &&Claim| self.waiting.get(&claim.delivery).is_none_or(|now| *now < claim.lease);
                let again = conflicted.iter().filter(|claim| !self.calls.contains(claim));
                let again: Vec<Claim> = again.filter(is_latest).copied().collect();
                self.waiting.extend(again.iter().map(|claim| (claim.delivery, claim.lease)));
                let rows = claimed.iter().filter(|row| row.reply_to.is_none());
                self.waiting.extend(rows.map(|row| (row.id, row.lease)));
            }
            Ok(Reply::BeginCalls(BeginCallsReply { deliveries, .. })) => {
                self.calls.extend(deliveries.iter().map(|row| row.claim()))
            }
            Ok(Reply::Discover(_)) => self.full_lanes.clear(),
            _ => {}
        }
    }
}

fn check_inline_claim(state: &LifeState, claim: &[LaneQuota], snapshot: &Snapshot<'_>) -> Result<(), String> {
    let (rows, room) = (claim.iter().map(|quota| quota.quota).sum::<u32>(), state.inline_room);
    if rows > room {
        return Err(format!("{rows} rows in a room of {room}"));
    }
    match state.closing_reason(claim, snapshot) {
        Some(reason) => Err(format!("rows of a closed lane: {reason}")),
        None => Ok(()),
    }
}

impl Checker for Views {
    fn name(&self) -> &'static str {
        "views"
    }

    fn observe(
        &mut self,
        observation: &Observation<'_>,
        snapshot: &Snapshot<'_>,
        _: &mut Probes,
    ) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, op: None, request: Request::Exchange { claim, .. } } => {
                let state = self.lives.entry(*of).or_default();
                check_inline_claim(state, claim, snapshot)
                    .map_err(|what| format!("an inline claim of daemon {} takes {what}", of.daemon))?;
            }
            Observation::StoreCalled { of, op: Some(op), request } => {
                self.lives.entry(*of).or_default().record_request(*op, request);
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                self.lives.entry(*of).or_default().record_answer(*op, result);
            }
            Observation::InlineClaim { of, claimed } => {
                let rows = claimed.iter().map(|row| (row.id, row.lease));
                self.lives.entry(*of).or_default().waiting.extend(rows);
            }
            Observation::Fact { of, fact: Fact::LeaseLost { delivery } } => {
                self.lives.entry(*of).or_default().remove_waiting(delivery.claim());
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                self.executions.insert(*op, *of);
                let state = self.lives.entry(*of).or_default();
                state.running += 1;
                state.remove_waiting(delivery.claim());
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running = state.running.saturating_sub(1);
                }
            }
            Observation::ReplySent { of, inbox, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.replying += u32::from(state.callers_with_reply.insert(*inbox));
            }
            Observation::InputHandled { of, input, disposition, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.stale += u64::from(*disposition == Disposition::Stale);
                state.shutting_down |= *input == InputKind::Shutdown;
                if (*input, *disposition) == (InputKind::ReplyResult, Disposition::Accepted) {
                    state.replying = state.replying.saturating_sub(1);
                }
            }
            Observation::Idle { of, view, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.inline_room = view.inline_room.max(view.inline_rows);
                if let Some(what) = state.difference(view) {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
