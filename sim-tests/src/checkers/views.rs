//! What a dispatcher shows of itself is so: readiness, metrics and people go by it.

use super::{Checker, InputKind, Life, Observation, Snapshot};
use crate::probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::{
    BeginCallsReply, Claim, DeliveryId, Disposition, ExchangeReply, Fact, InboxId, LaneQuota, Lease, OpId, Reply,
    Request, StoreError, TriggerId, View,
};

#[derive(Default)]
pub(super) struct Views {
    lives: BTreeMap<Life, LifeState>,
    executions: BTreeMap<OpId, Life>,
}

/// What a life was state to do.
#[derive(Default)]
struct LifeState {
    running: u32,
    /// Calls that have a permit while their rows are written, by the question.
    beginning: BTreeMap<OpId, u32>,
    /// Settlements of the exchange that is under way.
    settling: BTreeMap<OpId, Vec<Claim>>,
    /// What exchanges that are under way ask for.
    asking: BTreeMap<OpId, Vec<LaneQuota>>,
    /// Rows of callers.
    calls: BTreeSet<DeliveryId>,
    /// Rows that were claimed for async work, and are neither started nor settled.
    waiting: BTreeMap<DeliveryId, Lease>,
    replying: u32,
    store_failures: u32,
    /// A store call has failed, and none was made since: what is to be settled waits.
    backs_off: bool,
    stale: u64,
    shutting_down: bool,
    /// Callers that were told something: nobody is told twice, so a second time is another checker's.
    told: BTreeSet<InboxId>,
}

impl LifeState {
    /// What it shows besides what it does.
    fn differs(&self, view: &View) -> Option<String> {
        let sent = self.settling.values().map(Vec::len).sum::<usize>() as u32;
        let pairs = [
            ("running", u64::from(view.running), u64::from(self.running + self.beginning.values().sum::<u32>())),
            ("replying", view.replying.into(), self.replying.into()),
            ("store_failures", view.store_failures.into(), self.store_failures.into()),
            ("stale", view.stale, self.stale),
            ("shutting_down", view.shutting_down.into(), self.shutting_down.into()),
        ];
        if let Some((what, shown, state)) = pairs.into_iter().find(|(_, shown, state)| shown != state) {
            return Some(format!("shows {what} {shown}, and it is {state}"));
        }
        // What waits to be sent is not state from outside. It waits for the exchange before it or for a store that failed.
        let is_sent = !self.settling.is_empty() || self.backs_off || view.settling == sent;
        if view.settling < sent || !is_sent {
            return Some(format!("shows {} settlements, and has sent {sent}", view.settling));
        }
        // While an exchange is under way, some of them may have ended and wait for the next one.
        let waiting = self.waiting.len() as u32;
        if view.queued > view.held || (self.settling.is_empty() && !self.backs_off && view.queued != waiting) {
            return Some(format!("shows {} rows queued of {}, it has {waiting}", view.queued, view.held));
        }
        let asked: u32 = self.asking.values().flatten().map(|quota| quota.quota).sum();
        let free = view.permits.saturating_sub(view.running).saturating_sub(asked);
        if view.inline_room > if view.shutting_down { 0 } else { free } {
            return Some(format!("shows room for {} rows beside {asked} that it asks for: {view:?}", view.inline_room));
        }
        if view.queued > 0 && view.lanes == 0 {
            return Some(format!("shows {} rows queued and no lane", view.queued));
        }
        None
    }

    /// Why an emission must not claim of one of these lanes. While an exchange is under way, or the store fails, a row that
    /// seems to wait may have ended without a start.
    fn is_closed(&self, claim: &[LaneQuota], snapshot: &Snapshot<'_>) -> Option<String> {
        let is_claimed = |trigger: TriggerId| claim.iter().any(|quota| quota.trigger == trigger);
        if let Some(asked) = self.asking.values().flatten().find(|asked| is_claimed(asked.trigger)) {
            return Some(format!("it asks for {} of them itself", asked.quota));
        }
        let mut waiting = self.waiting.keys().filter(|_| self.settling.is_empty() && !self.backs_off);
        let row = waiting.find(|id| snapshot.store.row(**id).is_some_and(|row| is_claimed(row.trigger)));
        row.map(|row| format!("its row {row} waits there"))
    }

    fn takes(&mut self, claim: Claim) {
        if self.waiting.get(&claim.delivery) == Some(&claim.lease) {
            self.waiting.remove(&claim.delivery);
        }
    }

    fn answered(&mut self, op: OpId, result: &Result<Reply, StoreError>) {
        self.beginning.remove(&op);
        self.settling.remove(&op);
        self.asking.remove(&op);
        self.backs_off |= result.is_err();
        self.store_failures = if result.is_ok() { 0 } else { self.store_failures + 1 };
        match result {
            Ok(Reply::Exchange(ExchangeReply { conflicted, claimed, .. })) => {
                let is_latest = |claim: &&Claim| self.waiting.get(&claim.delivery).is_none_or(|now| *now < claim.lease);
                let again = conflicted.iter().filter(|claim| !self.calls.contains(&claim.delivery));
                let again: Vec<Claim> = again.filter(is_latest).copied().collect();
                self.waiting.extend(again.iter().map(|claim| (claim.delivery, claim.lease)));
                let rows = claimed.iter().filter(|row| row.reply_to.is_none());
                self.waiting.extend(rows.map(|row| (row.id, row.lease)));
            }
            Ok(Reply::BeginCalls(BeginCallsReply { deliveries: begun, .. })) => {
                self.calls.extend(begun.iter().map(|row| row.id))
            }
            _ => {}
        }
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
                if let Some(why) = self.lives.get(of).and_then(|state| state.is_closed(claim, snapshot)) {
                    return Err(format!("an emission of daemon {} claims of a lane that is closed: {why}", of.daemon));
                }
            }
            Observation::StoreCalled { of, op: Some(op), request } => {
                let state = self.lives.entry(*of).or_default();
                state.backs_off = false;
                match request {
                    Request::BeginCalls { calls, .. } => _ = state.beginning.insert(*op, calls.len() as u32),
                    Request::Exchange { settle, claim, .. } => {
                        state.asking.insert(*op, claim.clone());
                        let claims: Vec<Claim> = settle.iter().map(|one| one.claim).collect();
                        claims.iter().for_each(|claim| state.takes(*claim));
                        state.settling.insert(*op, claims);
                    }
                    _ => {}
                }
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                self.lives.entry(*of).or_default().answered(*op, result);
            }
            Observation::InlineClaim { of, claimed } => {
                let rows = claimed.iter().map(|row| (row.id, row.lease));
                self.lives.entry(*of).or_default().waiting.extend(rows);
            }
            Observation::Fact { of, fact: Fact::LeaseLost { delivery } } => {
                self.lives.entry(*of).or_default().takes(delivery.claim());
            }
            Observation::ExecutionStarted { of, op, delivery } => {
                self.executions.insert(*op, *of);
                let state = self.lives.entry(*of).or_default();
                state.running += 1;
                state.takes(delivery.claim());
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running = state.running.saturating_sub(1);
                }
            }
            Observation::ReplyHandedOver { of, inbox, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.replying += u32::from(state.told.insert(*inbox));
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
                if let Some(what) = self.lives.get(of).and_then(|state| state.differs(view)) {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
