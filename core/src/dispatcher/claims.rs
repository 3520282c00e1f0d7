//! The held claims: every row that a claim of this dispatcher holds, and its stage.

use crate::claim::Claim;
use crate::delivery::{Delivery, Kind, Run};
use crate::gate::Caller;
use crate::names::{AppName, DeliveryId, TriggerId};
use crate::sync::{SyncCall, SyncOutcome, SyncReply};
use crate::time::{Micros, Mono};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    held: BTreeMap<DeliveryId, HeldClaim>,
    /// Claims that wait for the answer to their settlement while a later claim holds their row.
    superseded: BTreeMap<Claim, HeldClaim>,
    /// The time of the next check for rows that have waited too long. `None` while no row waits.
    queue_check: Option<Mono>,
}

#[derive(Clone, Debug)]
pub(super) struct HeldClaim {
    pub(super) delivery: Arc<Delivery>,
    pub(super) stage: Stage,
    /// No other daemon can claim the row before this time. It is counted from before the request
    /// was sent.
    pub(super) leased_until: Mono,
    /// How many times its effects have conflicted.
    pub(super) conflicts: u32,
    /// The last run of its handler.
    pub(super) last_run: Option<Run>,
    /// A sync call that this dispatcher began. `None` for every row that was claimed from a lane,
    /// even for an orphan of a sync call. Such rows are many, so the value is boxed.
    pub(super) call: Option<Box<HeldCall>>,
}

/// The part of a held claim that only a sync call has.
#[derive(Clone, Debug)]
pub(super) struct HeldCall {
    pub(super) app: AppName,
    /// Whether the call has an idempotency key. The store keeps the reply of such a call.
    pub(super) is_keyed: bool,
    /// The outcome that the store keeps of the execution.
    outcome: Option<SyncOutcome>,
    /// The reply that the caller gets once the settlement is applied.
    reply: Option<SyncReply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits for a permit.
    Queued { since: Mono },
    /// Executes as the operation with this number.
    Running { seq: u64 },
    /// Its settlement waits for an exchange, or for the answer to an exchange.
    Settling,
    /// Its reply is being handed over.
    Replying,
}

impl HeldClaim {
    fn new(delivery: Arc<Delivery>, since: Mono, leased_until: Mono) -> Self {
        Self { delivery, stage: Stage::Queued { since }, leased_until, conflicts: 0, last_run: None, call: None }
    }

    /// The kind of permit that it needs.
    pub(super) fn caller(&self) -> Caller {
        if self.call.is_some() { Caller::Sync } else { Caller::Async }
    }

    /// The outcome of a sync execution.
    pub(super) fn outcome(&self) -> Option<SyncOutcome> {
        self.call.as_ref()?.outcome.clone()
    }

    pub(super) fn claim(&self) -> Claim {
        self.delivery.claim()
    }

    /// Whether a sync caller still waits for a reply that nothing else will send.
    pub(super) fn is_reply_due(&self) -> bool {
        self.call.as_ref().is_some_and(|call| match self.stage {
            Stage::Queued { .. } | Stage::Running { .. } => true,
            // Without a reply the caller hung up before the execution.
            Stage::Settling => call.reply.is_some(),
            Stage::Replying => false,
        })
    }
}

impl Claims {
    /// Holds a claim of a lane. Returns the claim of the same row that was held before, if it was
    /// lost: its lease has expired, because the store claims no row with a valid lease.
    pub(super) fn hold(&mut self, delivery: Arc<Delivery>, since: Mono, leased_until: Mono) -> Option<HeldClaim> {
        self.insert(HeldClaim::new(delivery, since, leased_until))
    }

    /// Holds the row of a sync call that the store has begun. Returns the claim of a row with the
    /// same id that was held before, if it was lost. Only a restored store gives an id again.
    pub(super) fn hold_call(
        &mut self,
        delivery: Arc<Delivery>,
        since: Mono,
        leased_until: Mono,
        call: &SyncCall,
    ) -> Option<HeldClaim> {
        let (app, is_keyed) = (call.target.app().clone(), call.idempotency_key.is_some());
        let call = HeldCall { app, is_keyed, outcome: None, reply: None };
        self.insert(HeldClaim { call: Some(Box::new(call)), ..HeldClaim::new(delivery, since, leased_until) })
    }

    /// Holds a claim. A claim of the same row that is settling is not lost: the store may have
    /// applied its settlement already. So this claim is kept until the settlement is answered.
    fn insert(&mut self, held: HeldClaim) -> Option<HeldClaim> {
        let before = self.held.insert(held.delivery.id, held)?;
        if (before.stage, before.caller()) == (Stage::Settling, Caller::Async) {
            self.superseded.insert(before.claim(), before);
            return None;
        }
        Some(before)
    }

    /// Removes a superseded claim, because its settlement was answered.
    pub(super) fn take_superseded(&mut self, claim: Claim) -> Option<HeldClaim> {
        self.superseded.remove(&claim)
    }

    pub(super) fn get(&self, claim: Claim) -> Option<&HeldClaim> {
        self.held.get(&claim.delivery).filter(|held| held.delivery.lease == claim.lease)
    }

    fn get_mut(&mut self, claim: Claim) -> Option<&mut HeldClaim> {
        self.held.get_mut(&claim.delivery).filter(|held| held.delivery.lease == claim.lease)
    }

    pub(super) fn remove(&mut self, claim: Claim) -> Option<HeldClaim> {
        self.get(claim)?;
        self.held.remove(&claim.delivery)
    }

    /// The claim of the row `delivery`, under any lease.
    pub(super) fn of(&self, delivery: DeliveryId) -> Option<&HeldClaim> {
        self.held.get(&delivery)
    }

    /// Whether a later claim of the same row is held. The answers of two calls may arrive in either
    /// order.
    pub(super) fn is_outdated(&self, delivery: &Delivery) -> bool {
        self.of(delivery.id).is_some_and(|held| held.delivery.lease > delivery.lease)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &HeldClaim> {
        self.held.values()
    }

    pub(super) fn len(&self) -> u32 {
        self.held.len() as u32
    }

    pub(super) fn stage(&self, claim: Claim) -> Option<Stage> {
        self.get(claim).map(|held| held.stage)
    }

    /// The claim executes as the operation `seq`.
    pub(super) fn start(&mut self, claim: Claim, seq: u64) {
        if let Some(held) = self.get_mut(claim) {
            held.stage = Stage::Running { seq };
        }
    }

    pub(super) fn set_last_run(&mut self, claim: Claim, run: Run) {
        if let Some(held) = self.get_mut(claim) {
            held.last_run = Some(run);
        }
    }

    /// Keeps the outcome of a sync execution and the reply to its caller until the settlement is
    /// applied.
    pub(super) fn keep_reply(&mut self, claim: Claim, outcome: SyncOutcome, reply: SyncReply) {
        if let Some(call) = self.get_mut(claim).and_then(|held| held.call.as_mut()) {
            (call.outcome, call.reply) = (Some(outcome), Some(reply));
        }
    }

    /// A verdict about the claim exists. Returns its lane and the kind of its permit.
    pub(super) fn settle(&mut self, claim: Claim) -> Option<(TriggerId, Caller)> {
        let held = self.get_mut(claim)?;
        held.stage = Stage::Settling;
        Some((held.delivery.trigger_id, held.caller()))
    }

    /// The settlement of a sync execution was applied. Returns the kind of the delivery and the
    /// reply to its caller.
    pub(super) fn take_reply(&mut self, claim: Claim) -> Option<(Kind, Option<SyncReply>)> {
        let held = self.get_mut(claim)?;
        held.stage = Stage::Replying;
        Some((held.delivery.kind(), held.call.as_mut().and_then(|call| call.reply.take())))
    }

    /// The effects of the claim conflicted, and it waits for a permit again.
    pub(super) fn count_conflict(&mut self, claim: Claim, now: Mono) -> Option<&HeldClaim> {
        let held = self.get_mut(claim)?;
        held.conflicts = held.conflicts.saturating_add(1);
        held.stage = Stage::Queued { since: now };
        Some(held)
    }

    /// Extends the lease of a claim. A lease never becomes shorter.
    pub(super) fn renew(&mut self, claim: Claim, leased_until: Mono) {
        if let Some(held) = self.get_mut(claim) {
            held.leased_until = held.leased_until.max(leased_until);
        }
    }

    pub(super) fn next_queue_check(&self) -> Option<Mono> {
        self.queue_check
    }

    /// Plans a check for rows that have waited too long at `at`, unless an earlier check is
    /// planned.
    pub(super) fn check_queue_at(&mut self, at: Mono) {
        self.queue_check = Some(self.queue_check.map_or(at, |earlier| earlier.min(at)));
    }

    /// If a check is due, returns the rows that have waited `limit` for a permit. The next check is
    /// at the time when the oldest of the other waiting rows reaches `limit`.
    pub(super) fn waited_too_long(&mut self, now: Mono, limit: Micros) -> Vec<Claim> {
        if self.queue_check.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let mut late = Vec::new();
        let mut oldest: Option<Mono> = None;
        for held in self.held.values() {
            let (Stage::Queued { since }, Caller::Async) = (held.stage, held.caller()) else { continue };
            if now.since(since) >= limit {
                late.push(held.claim());
            } else {
                oldest = Some(oldest.map_or(since, |other| other.min(since)));
            }
        }
        self.queue_check = oldest.map(|since| since.plus(limit));
        late
    }
}
