//! The exchange: settles finished deliveries and claims new ones. Verdicts that arrive while an
//! exchange is in flight are sent with the next exchange, so batches grow with the load.
//!
//! A second exchange is sent while the first one is in flight for one of two reasons only. If many
//! settlements wait, the store works on them while this process reads the first answer. If a lane
//! has work that the first exchange did not request, the second one requests it. The two answers
//! may arrive in either order. Beside a heavy exchange, which settles many bytes, or settlements
//! that were refused before, a second one needs no reason.

use super::Dispatcher;
use super::claims::HeldClaim;
use super::pending::{Pending, PendingExchange};
use super::settlements::{QueuedSettlement, SettlementAnswer, SettlementAnswers, SettlementBatch, ending};
use crate::claim::Claim;
use crate::delivery::{Delivery, Verdict, refuse};
use crate::gate::Caller;
use crate::io::Fact;
use crate::names::TriggerId;
use crate::store::{ExchangeReply, Fate, LaneQuota, Request, Settlement, StoreError, SuspectClaim};
use crate::time::{Mono, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most exchanges in flight.
pub(super) const EXCHANGES_MAX: usize = 2;
/// Fewer settlements than this are no reason for a second exchange.
const OVERLAP_MIN: u32 = 64;

impl Dispatcher {
    /// Sends an exchange if a delivery can be settled or claimed. A second exchange also needs one
    /// of the two reasons above.
    pub(super) fn exchange(&mut self) {
        let bytes_max = self.config.exchange_bytes_max();
        let (in_flight, heavy) = (self.pending.exchange_count(), self.pending.heavy_count(bytes_max));
        if in_flight >= EXCHANGES_MAX {
            return;
        }
        if let Some(batch) = (heavy == 0).then(|| self.settlements.take_isolated()).flatten() {
            return self.send_exchange(batch, Vec::new(), None);
        }
        let is_worth_it = in_flight == heavy || self.settlements.queued() >= self.overlap_min();
        if !(is_worth_it || self.lanes.has_new_work()) {
            return;
        }
        let now = self.clock.now(self.now);
        self.prefetch.measure(self.now);
        let suspect = self.suspect_claim(now);
        let capacity = self.capacity().beside_suspects(suspect.map_or(0, |claim| claim.quota));
        let quotas = self.lanes.deal_quotas(now, capacity.budget());
        let has_new_lane = || quotas.iter().any(|quota| !self.lanes.has_claim_in_flight(quota.trigger));
        if !(is_worth_it || has_new_lane()) {
            return;
        }
        let batch = self.settlements.take(self.config.batch_max(), bytes_max, heavy > 0);
        if quotas.is_empty() && suspect.is_none() && batch.settlements.is_empty() {
            return;
        }
        self.lanes.claim_sent(now, &quotas);
        suspect.into_iter().for_each(|claim| self.quarantine.claim_sent(claim));
        self.send_exchange(batch, quotas, suspect);
    }

    fn send_exchange(&mut self, batch: SettlementBatch, quotas: Vec<LaneQuota>, suspect: Option<SuspectClaim>) {
        let request = Request::Exchange {
            settle: batch.settlements.iter().map(|queued| queued.settlement.clone()).collect(),
            claim: quotas.clone(),
            suspect,
            claim_bytes_max: self.config.exchange_bytes_max(),
            lease_for: self.config.lease_for(),
        };
        let seq = self.outputs.call_store(request);
        self.pending.insert(seq, Pending::Exchange(PendingExchange { sent_at: self.now, batch, quotas, suspect }));
    }

    /// The claim of suspects. The permits for them are free. No claim ends the expired claims of
    /// this dispatcher before it has tried to renew them.
    fn suspect_claim(&self, now: Timestamp) -> Option<SuspectClaim> {
        if self.next_renewal().is_none_or(|at| self.now >= at) {
            return None;
        }
        let capacity = self.capacity();
        self.quarantine.next_claim(now, |lane| capacity.suspects_max(self.lanes.load(lane, now)))
    }

    /// The fewest settlements that are a reason for a second exchange. At full speed this is a
    /// quarter of the prefetched rows: the number that each of two alternating exchanges settles.
    fn overlap_min(&self) -> u32 {
        OVERLAP_MIN.max(self.prefetch.rows(self.config.batch_max()) / 4)
    }

    pub(super) fn exchange_answered(&mut self, sent: PendingExchange, reply: ExchangeReply) {
        let suspects: Vec<Claim> = reply.split_claimed().1.iter().map(|row| row.claim()).collect();
        let ExchangeReply { now, fenced, conflicted, claimed, woken_lanes, is_cut, .. } = reply;
        let took = self.now.since(sent.sent_at);
        self.store_answered_at(now);
        self.prefetch.answered(took);
        let failed = (fenced.len() + conflicted.len()) as u32;
        let settled = (sent.batch.settlements.len() as u32).saturating_sub(failed);
        self.outputs.emit_fact(Fact::ExchangeAnswered { settled, claimed: claimed.len() as u32, took });
        if let Some(claim) = sent.suspect {
            self.quarantine.claim_answered(claim, suspects);
        }
        self.settlements_answered(sent.batch.settlements, &SettlementAnswers::new(fenced, conflicted));
        self.claims_answered(&sent.quotas, claimed, is_cut, sent.sent_at);
        woken_lanes.into_iter().for_each(|lane| self.lanes.wake(lane));
    }

    /// The settlements are sent again. If the store has applied them, they are fenced the second
    /// time.
    pub(super) fn exchange_failed(&mut self, sent: PendingExchange, error: &StoreError) {
        self.settlements.put_back(sent.batch, error.fate == Fate::Unknown);
        self.claims_failed(sent.quotas, sent.suspect);
    }

    pub(super) fn claims_failed(&mut self, quotas: Vec<LaneQuota>, suspect: Option<SuspectClaim>) {
        quotas.into_iter().for_each(|quota| self.lanes.claim_failed(quota));
        if suspect.is_some() {
            self.quarantine.claim_failed();
        }
    }

    fn settlements_answered(&mut self, sent: Vec<QueuedSettlement>, answers: &SettlementAnswers) {
        let mut conflicts: BTreeMap<TriggerId, u32> = BTreeMap::new();
        for QueuedSettlement { settlement, resent, .. } in sent {
            let Settlement { claim, verdict } = settlement;
            let answer = answers.of(claim);
            if let Some(superseded) = self.claims.take_superseded(claim) {
                self.superseded_answered(superseded, verdict, answer, resent);
                continue;
            }
            let Some(held) = self.claims.get(claim) else { continue };
            let (trigger, caller) = (held.delivery.trigger_id, held.caller());
            if caller == Caller::Async {
                self.lanes.settled(trigger);
            }
            match answer {
                SettlementAnswer::Applied => self.settlement_applied(claim, verdict),
                SettlementAnswer::Fenced => self.settlement_fenced(claim, &verdict, resent),
                SettlementAnswer::Conflicted => {
                    if caller == Caller::Async {
                        *conflicts.entry(trigger).or_default() += 1;
                    }
                    self.run_again(claim);
                }
            }
        }
        for (trigger, count) in conflicts {
            self.lanes.conflicted(trigger, count.saturating_add(1));
        }
    }

    fn settlement_applied(&mut self, claim: Claim, verdict: Verdict) {
        if let Verdict::Executed { .. } = verdict {
            return self.reply_executed(claim);
        }
        let Some(held) = self.claims.remove(claim) else { return };
        let outcome = held.outcome();
        let HeldClaim { delivery, last_run: run, .. } = held;
        if let Verdict::Retry { delay, .. } | Verdict::Deferred { delay } = &verdict
            && !delivery.was_lost()
        {
            self.lanes.put_back(delivery.trigger_id, self.clock.now(self.now).plus(*delay));
        }
        if let Some(ending) = ending(verdict, outcome) {
            self.outputs.emit_fact(Fact::DeliverySettled { delivery, ending, run });
        }
    }

    fn settlement_fenced(&mut self, claim: Claim, verdict: &Verdict, resent: bool) {
        let Some(HeldClaim { delivery, .. }) = self.claims.remove(claim) else { return };
        if let Verdict::Executed { .. } = verdict {
            self.reply_lost(&delivery);
        }
        self.outputs.emit_fact(Fact::SettlementFenced { delivery, resent });
    }

    /// Handles the answer to the settlement of a superseded claim: the other exchange has already
    /// claimed its row again.
    fn superseded_answered(&mut self, superseded: HeldClaim, verdict: Verdict, answer: SettlementAnswer, resent: bool) {
        let outcome = superseded.outcome();
        let HeldClaim { delivery, last_run: run, .. } = superseded;
        self.lanes.settled(delivery.trigger_id);
        let ending = if answer == SettlementAnswer::Applied { ending(verdict, outcome) } else { None };
        self.outputs.emit_fact(match (ending, answer) {
            (Some(ending), _) => Fact::DeliverySettled { delivery, ending, run },
            (None, SettlementAnswer::Fenced) => Fact::SettlementFenced { delivery, resent },
            // Its effects conflicted. It cannot run again, because the row has a later claim.
            (None, _) => Fact::LeaseLost { delivery },
        });
    }

    /// A transaction of this process has claimed rows that it wrote.
    pub(super) fn inline_claim(&mut self, claimed: Vec<Arc<Delivery>>, begun_at: Mono) {
        self.inline_rows = 0;
        self.outputs.emit_fact(Fact::InlineClaim { claimed: claimed.len() as u32 });
        self.claims_answered(&[], claimed, false, begun_at);
    }

    /// `is_cut` tells whether the bytes ended the claim, so that its lanes may have more rows.
    fn claims_answered(&mut self, quotas: &[LaneQuota], claimed: Vec<Arc<Delivery>>, is_cut: bool, sent_at: Mono) {
        // The rows of each lane, and whether its last row may be lost more than once.
        let mut lanes: BTreeMap<TriggerId, (u32, bool)> = BTreeMap::new();
        for delivery in claimed {
            let (rows, claims_ahead) = lanes.entry(delivery.trigger_id).or_default();
            *rows += 1;
            *claims_ahead = delivery.policy.max_lost() > 1;
            self.hold_claim(delivery, sent_at.plus(self.config.lease_for()));
        }
        for (trigger, (_, claims_ahead)) in &lanes {
            self.lanes.set_claims_ahead(*trigger, *claims_ahead);
        }
        let now = self.clock.now(self.now);
        for quota in quotas {
            let claimed = lanes.get(&quota.trigger).map_or(0, |(rows, _)| *rows);
            self.lanes.claim_answered(*quota, claimed, is_cut, now);
        }
    }

    fn hold_claim(&mut self, delivery: Arc<Delivery>, leased_until: Mono) {
        if self.claims.is_outdated(&delivery) {
            self.quarantine.leave(delivery.claim());
            self.outputs.emit_fact(Fact::LeaseLost { delivery });
            return;
        }
        if let Some(expired) = self.claims.hold(Arc::clone(&delivery), self.now, leased_until) {
            self.drop_claim(expired);
        }
        let claim = delivery.claim();
        if let Some(verdict) = refuse(&delivery, self.config.max_trigger_depth(), self.clock.now(self.now)) {
            self.conclude_with(claim, verdict);
        } else if self.shutdown.is_some() {
            self.release(claim);
        } else {
            let is_first = self.quarantine.holds(claim);
            self.enqueue(&delivery, is_first);
        }
    }

    /// Queues a held row in its lane, where it waits for a permit. A suspect waits in front of the
    /// others of its lane, and so does a row after a conflict.
    pub(super) fn enqueue(&mut self, delivery: &Delivery, is_first: bool) {
        self.lanes.enqueue(delivery.trigger_id, delivery.id, is_first);
        self.claims.check_queue_at(self.now.plus(self.config.queue_wait_max()));
    }
}
