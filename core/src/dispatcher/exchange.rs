//! The exchange: settles what is finished and claims what is next. What finishes while one is under way goes with the
//! next, so batches grow with the load by themselves.
//!
//! A second one goes while the first is under way only for a reason: many rows wait to be settled, so that the store works
//! while this process reads the other's answer, or a lane has work that the first did not ask for. Their answers may come in
//! either order.

use super::Dispatcher;
use super::claims::{Held, Stage};
use crate::claim::Claim;
use crate::delivery::{Delivery, Verdict, refuse};
use crate::gate::Caller;
use crate::io::{Disposition, Ending, Fact};
use crate::names::TriggerId;
use crate::outcome::{ExecError, Failure};
use crate::store::{ExchangeReply, LaneQuota, Reply, Request, Settlement, StoreError};
use crate::sync::SyncOutcome;
use crate::time::{Mono, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How often a delivery whose effects conflict runs again at once before that counts as a failed attempt.
const CONFLICTS_MAX: u32 = 20;

/// The most exchanges that are under way at once.
pub(super) const EXCHANGES_MAX: usize = 2;
/// Fewer settlements than this are not worth an exchange of their own beside another.
const OVERLAP_MIN: u32 = 64;

/// Settlements that wait to be sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Settling {
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    settlement: Settlement,
    /// Sent before, and it is not known whether it was applied.
    resent: bool,
}

impl Settling {
    pub(super) fn push(&mut self, claim: Claim, verdict: Verdict) {
        self.waiting.push_back(Waiting { settlement: Settlement { claim, verdict }, resent: false });
    }

    pub(super) fn len(&self) -> u32 {
        self.waiting.len() as u32
    }

    fn take(&mut self, most: u32) -> Vec<Waiting> {
        let many = self.waiting.len().min(most as usize);
        self.waiting.drain(..many).collect()
    }

    fn give_back(&mut self, sent: Vec<Waiting>, resent: bool) {
        for mut waiting in sent.into_iter().rev() {
            waiting.resent |= resent;
            self.waiting.push_front(waiting);
        }
    }
}

/// The exchanges that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    sent: Vec<Exchange>,
}

#[derive(Clone, Debug)]
struct Exchange {
    seq: u64,
    sent_at: Mono,
    settle: Vec<Waiting>,
    claim: Vec<LaneQuota>,
}

impl Exchanges {
    pub(super) fn is_under_way(&self, seq: u64) -> bool {
        self.sent.iter().any(|exchange| exchange.seq == seq)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Settlements that are under way.
    pub(super) fn settlements(&self) -> u32 {
        self.sent.iter().map(|exchange| exchange.settle.len() as u32).sum()
    }

    fn take(&mut self, seq: u64) -> Option<Exchange> {
        let at = self.sent.iter().position(|exchange| exchange.seq == seq)?;
        Some(self.sent.remove(at))
    }
}

impl Dispatcher {
    /// Sends an exchange if there is something to settle or to claim, and none is under way or a second is worth it.
    pub(super) fn exchange(&mut self) {
        let is_first = self.exchanges.is_empty();
        let is_much = self.settling.len() >= self.overlap_from();
        if self.exchanges.sent.len() >= EXCHANGES_MAX || !(is_first || is_much || self.lanes.is_stirred()) {
            return;
        }
        let now = self.clock.now(self.now);
        self.prefetch.measure(self.now);
        let budget = self.budget();
        let claim = self.lanes.offer(now, budget);
        if claim.is_empty() && self.settling.len() == 0 {
            return;
        }
        if !(is_first || is_much || claim.iter().any(|quota| !self.lanes.is_asked(quota.trigger))) {
            return;
        }
        self.lanes.ask(now, &claim);
        let settle = self.settling.take(self.config.batch_max());
        let request = Request::Exchange {
            settle: settle.iter().map(|waiting| waiting.settlement.clone()).collect(),
            claim: claim.clone(),
            lease_for: self.config.lease_for(),
        };
        let seq = self.call_store(request);
        self.exchanges.sent.push(Exchange { seq, sent_at: self.now, settle, claim });
    }

    /// How many settlements are worth an exchange beside another: at full speed, what two that take turns settle each.
    fn overlap_from(&self) -> u32 {
        OVERLAP_MIN.max(self.prefetch.rows(self.config.batch_max()) / 4)
    }

    pub(super) fn exchange_answered(&mut self, seq: u64, result: Result<Reply, StoreError>) -> Disposition {
        let Some(exchange) = self.exchanges.take(seq) else { return Disposition::Stale };
        match result {
            Ok(Reply::Exchange(ExchangeReply { now, fenced, conflicted, claimed, woken_lanes: woken })) => {
                let took = self.now.since(exchange.sent_at);
                self.answered_at(now);
                self.prefetch.answered(took);
                let settled = (exchange.settle.len() as u32).saturating_sub((fenced.len() + conflicted.len()) as u32);
                self.tell(Fact::ExchangeAnswered { settled, claimed: claimed.len() as u32, took });
                self.settlements_answered(exchange.settle, fenced, conflicted);
                self.claims_answered(&exchange.claim, claimed, exchange.sent_at);
                woken.into_iter().for_each(|lane| self.lanes.wake(lane));
                Disposition::Accepted
            }
            Ok(_) => {
                self.exchanges.sent.push(exchange);
                Disposition::Rejected
            }
            Err(error) => {
                let resent = error.fate == crate::store::Fate::Unknown;
                self.settling.give_back(exchange.settle, resent);
                exchange.claim.into_iter().for_each(|asked| self.lanes.claim_failed(asked));
                self.store_failed("exchange", error);
                Disposition::Accepted
            }
        }
    }

    fn settlements_answered(&mut self, settle: Vec<Waiting>, fenced: Vec<Claim>, conflicted: Vec<Claim>) {
        let (fenced, conflicted) = (BTreeSet::from_iter(fenced), BTreeSet::from_iter(conflicted));
        let mut conflicts: BTreeMap<TriggerId, u32> = BTreeMap::new();
        for Waiting { settlement, resent } in settle {
            let Settlement { claim, verdict } = settlement;
            let is_fenced = fenced.contains(&claim);
            let is_conflicted = conflicted.contains(&claim);
            if let Some(superseded) = self.claims.take_superseded(claim) {
                let applied = (!is_fenced && !is_conflicted).then_some(verdict);
                self.superseded_answered(superseded, applied, is_fenced.then_some(resent));
                continue;
            }
            let Some(held) = self.claims.get_mut(claim) else { continue };
            let (delivery, took, caller) = (Arc::clone(&held.delivery), held.took, held.caller);
            let outcome = held.outcome.clone();
            if caller == Caller::Async {
                self.lanes.settled(delivery.trigger_id);
            }
            if is_fenced {
                self.claims.remove(claim);
                if let Verdict::Executed { .. } = verdict {
                    self.reply_lost(&delivery);
                }
                self.tell(Fact::SettlementFenced { delivery, resent });
            } else if is_conflicted {
                if caller == Caller::Async {
                    *conflicts.entry(delivery.trigger_id).or_default() += 1;
                }
                self.run_again(claim);
            } else if let Verdict::Executed { .. } = verdict {
                self.reply_executed(claim);
            } else {
                self.claims.remove(claim);
                if let Verdict::Retry { delay, .. } | Verdict::Deferred { delay } = &verdict {
                    self.lanes.put_back(delivery.trigger_id, self.clock.now(self.now).plus(*delay));
                }
                if let Some(ending) = ending(verdict, outcome) {
                    self.tell(Fact::DeliverySettled { delivery, ending, took });
                }
            }
        }
        for (trigger, many) in conflicts {
            self.lanes.conflicted(trigger, many.saturating_add(1));
        }
    }

    /// The row came back, by the other exchange, before it was known what became of this settlement of it.
    fn superseded_answered(&mut self, superseded: Held, applied: Option<Verdict>, fenced: Option<bool>) {
        let Held { delivery, took, outcome, .. } = superseded;
        self.lanes.settled(delivery.trigger_id);
        if let Some(ending) = applied.and_then(|verdict| ending(verdict, outcome)) {
            self.tell(Fact::DeliverySettled { delivery, ending, took });
        } else if let Some(resent) = fenced {
            self.tell(Fact::SettlementFenced { delivery, resent });
        } else {
            // Its effects conflicted, and it cannot run again: the row was claimed anew.
            self.tell(Fact::LeaseLost { delivery });
        }
    }

    /// Somebody else wrote what the handler had read.
    fn run_again(&mut self, claim: Claim) {
        let now = self.now;
        let Some(held) = self.claims.get_mut(claim) else { return };
        held.conflicts = held.conflicts.saturating_add(1);
        let (times, delivery, caller) = (held.conflicts, Arc::clone(&held.delivery), held.caller);
        held.stage = Stage::Queued { since: now };
        self.tell(Fact::EffectsConflicted { delivery: Arc::clone(&delivery), times });
        if self.shutdown.is_some() && caller == Caller::Async {
            self.release(claim);
        } else if self.shutdown.is_some() || times > CONFLICTS_MAX {
            let message = format!("what it had read was written by others {times} times in a row");
            self.conclude_failed(claim, Failure::new(ExecError::EffectsConflict, message));
        } else if caller == Caller::Sync {
            self.calls.run_again(claim);
        } else {
            self.lanes.enqueue(delivery.trigger_id, claim.delivery, true);
            self.claims.check_queue_at(now.plus(self.config.queue_wait_max()));
        }
    }

    /// Rows that an emission has claimed for this dispatcher, in the transaction that wrote them.
    pub(super) fn carried(&mut self, claimed: Vec<Delivery>, begun_at: Mono) {
        self.tell(Fact::InlineClaim { claimed: claimed.len() as u32 });
        let now = self.clock.now(self.now);
        claimed.iter().for_each(|row| self.lanes.carried(row.trigger_id, row.due_at, now));
        self.claims_answered(&[], claimed, begun_at);
    }

    fn claims_answered(&mut self, asked: &[LaneQuota], claimed: Vec<Delivery>, sent_at: Mono) {
        let mut brought: BTreeMap<TriggerId, (u32, Timestamp)> = BTreeMap::new();
        for delivery in claimed {
            let (count, last_due) = brought.entry(delivery.trigger_id).or_default();
            *count += 1;
            *last_due = (*last_due).max(delivery.due_at);
            self.take_claim(Arc::new(delivery), sent_at.plus(self.config.lease_for()));
        }
        let now = self.clock.now(self.now);
        for quota in asked {
            let (count, last_due) = brought.get(&quota.trigger).map_or((0, None), |(count, due)| (*count, Some(*due)));
            self.lanes.claim_answered(*quota, count, last_due, now);
        }
    }

    fn take_claim(&mut self, delivery: Arc<Delivery>, leased_until: Mono) {
        let stage = Stage::Queued { since: self.now };
        if self.claims.is_outdated(&delivery) {
            self.tell(Fact::LeaseLost { delivery });
            return;
        }
        if let Some(expired) = self.claims.hold(Arc::clone(&delivery), stage, leased_until) {
            self.let_go(expired);
        }
        let claim = delivery.claim();
        if let Some(verdict) = refuse(&delivery, self.config.max_trigger_depth(), self.clock.now(self.now)) {
            self.conclude_with(claim, verdict);
        } else if self.shutdown.is_some() {
            self.release(claim);
        } else {
            self.lanes.enqueue(delivery.trigger_id, delivery.id, false);
            self.claims.check_queue_at(self.now.plus(self.config.queue_wait_max()));
        }
    }

    /// A claim that is no longer held by the store's word: whatever is under way for it changes nothing any more.
    pub(super) fn let_go(&mut self, lost: Held) {
        let trigger = lost.delivery.trigger_id;
        match (lost.stage, lost.caller) {
            (Stage::Queued { .. }, Caller::Async) => self.lanes.unqueue(trigger, lost.delivery.id),
            (Stage::Running { seq }, _) => {
                self.cancel(seq);
            }
            (Stage::Settling, Caller::Async) => self.lanes.settled(trigger),
            (Stage::Queued { .. } | Stage::Settling | Stage::Replying, _) => {}
        }
        // One that was executed has its reply until it is told; whoever hung up before that is told nothing.
        let is_owed = match lost.stage {
            Stage::Queued { .. } | Stage::Running { .. } => true,
            Stage::Settling => lost.reply.is_some(),
            Stage::Replying => false,
        };
        if lost.caller == Caller::Sync && is_owed {
            self.reply_lost(&lost.delivery);
        }
        self.tell(Fact::LeaseLost { delivery: lost.delivery });
    }

    /// The store answered, and said what time it is.
    pub(super) fn answered_at(&mut self, store_now: Timestamp) {
        self.clock.hear(store_now, self.now);
        if let Some((failures, after)) = self.health.answered(self.now) {
            self.tell(Fact::StoreRecovered { failures, after });
            self.upkeep.discover_soon();
        }
    }

    /// A store call failed.
    pub(super) fn store_failed(&mut self, request: &str, error: StoreError) {
        let retry_in = self.health.failed(&error, self.boot.rng_key, self.now);
        let failures = self.health.failures();
        self.tell(Fact::StoreFailed { request: request.to_owned(), error, failures, retry_in });
    }
}

/// How a verdict ends its delivery; `None` if it does not yet.
fn ending(verdict: Verdict, outcome: Option<SyncOutcome>) -> Option<Ending> {
    Some(match verdict {
        Verdict::Done { .. } => Ending::Done,
        Verdict::Retry { delay, failed } => Ending::Retry { delay, failed },
        Verdict::Dead { reason, attempts, failed, .. } => Ending::Dead { reason, attempts, failed },
        Verdict::Dropped => Ending::Dropped,
        Verdict::Deferred { delay } => Ending::Deferred { delay },
        Verdict::Handled { .. } => Ending::Handled,
        Verdict::HandlerFailed { failed } => Ending::HandlerFailed { failed },
        Verdict::Executed { .. } => return None,
        Verdict::Replied => Ending::Replied { outcome: outcome? },
        Verdict::Abandoned { cause } => Ending::Abandoned { cause },
    })
}
