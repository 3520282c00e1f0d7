//! Settlements that the store refuses for good. Each ends without its data, and takes no other with
//! it.
//!
//! The store refused the data of an exchange. Its settlements are sent again in halves, without
//! claims ([`SettlementQueue`](super::settlements::SettlementQueue)), until the refused one is
//! alone. Then a verdict without effects replaces it: a dead letter, or an error for the caller.
//! If the store refuses that too, a verdict with a fixed text replaces it. If even this is refused,
//! the claim is dropped, and the row is tried again after its lease.

use super::Dispatcher;
use super::pending::PendingExchange;
use super::settlements::{QueuedSettlement, SettlementBatch};
use crate::claim::Claim;
use crate::delivery::{Run, Verdict};
use crate::io::Fact;
use crate::outcome::{Failure, Outcome};
use crate::refusal;
use crate::store::StoreError;
use crate::sync::{SyncOutcome, SyncReply};
use std::sync::Arc;

impl Dispatcher {
    /// The store refused the data of an exchange with settlements. It answers, so no back-off
    /// begins.
    pub(super) fn exchange_refused(&mut self, sent: PendingExchange, error: &StoreError) {
        self.claims_failed(sent.quotas, sent.suspect);
        let SettlementBatch { mut settlements, is_isolated, .. } = sent.batch;
        match settlements.pop() {
            Some(alone) if settlements.is_empty() && is_isolated => self.settlement_refused(alone, error),
            last => {
                settlements.extend(last);
                let count = settlements.len() as u32;
                self.outputs.emit_fact(Fact::ExchangeRefused { settlements: count, error: error.clone() });
                self.settlements.isolate(settlements);
            }
        }
    }

    fn settlement_refused(&mut self, refused: QueuedSettlement, error: &StoreError) {
        let claim = refused.settlement.claim;
        if let Some(superseded) = self.claims.take_superseded(claim) {
            // Another claim holds the row by now, and settles it.
            return self.drop_claim(superseded);
        }
        let Some(held) = self.claims.get(claim) else { return };
        let (delivery, last_run) = (Arc::clone(&held.delivery), held.last_run);
        let verdict = refused.settlement.verdict.name().to_owned();
        self.outputs.emit_fact(Fact::SettlementRefused {
            delivery: Arc::clone(&delivery),
            verdict,
            error: error.clone(),
        });
        let failure = refusal::failure(error, refused.refusals == 0);
        let run = last_run.unwrap_or_else(|| Run::empty(self.clock.now(self.now)));
        let next = refusal::without_data(&delivery, &refused.settlement.verdict, failure.clone(), run);
        match next.filter(|_| refused.refusals < REFUSALS_MAX) {
            Some(verdict) => {
                self.keep_refusal(claim, &verdict, failure);
                self.settlements.push_alone(claim, verdict, refused.refusals + 1);
            }
            None => {
                if let Some(lost) = self.claims.remove(claim) {
                    self.drop_claim(lost);
                }
            }
        }
    }

    /// The caller of a refused execution gets the failure.
    fn keep_refusal(&mut self, claim: Claim, verdict: &Verdict, failure: Failure) {
        if let Verdict::Executed { .. } = verdict {
            let outcome = Outcome::Failed(failure);
            let reply = SyncReply::of(claim, &outcome, self.config.gate_backoff());
            self.claims.keep_reply(claim, SyncOutcome::of(&outcome), reply);
        }
    }
}

/// The verdicts that replace a refused one: with the error of the store, and with a fixed text.
const REFUSALS_MAX: u32 = 2;
