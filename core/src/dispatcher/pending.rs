//! The store calls in flight. This is the only place that matches an answer with its call.

use super::call_queue::WaitingCall;
use super::settlements::SettlementBatch;
use crate::claim::Claim;
use crate::io::Disposition;
use crate::names::InboxId;
use crate::store::{
    BeginCallsReply, DiscoverReply, ExchangeReply, LaneQuota, RenewReply, Reply, StoreError, SuspectClaim, TickReply,
};
use crate::time::Mono;
use std::collections::BTreeMap;

/// The calls in flight, by the number of their operation. At most two of them are exchanges, and at
/// most one is of each other kind.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingCalls {
    calls: BTreeMap<u64, Pending>,
}

/// A call in flight, with the data that its answer needs.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Exchange(PendingExchange),
    BeginCalls(PendingBegin),
    Renew(PendingRenewal),
    Discover { sent_at: Mono },
    Tick,
}

#[derive(Clone, Debug)]
pub(super) struct PendingExchange {
    pub(super) sent_at: Mono,
    pub(super) batch: SettlementBatch,
    pub(super) quotas: Vec<LaneQuota>,
    pub(super) suspect: Option<SuspectClaim>,
}

/// Sync calls that have a permit while the store writes their rows.
#[derive(Clone, Debug)]
pub(super) struct PendingBegin {
    pub(super) sent_at: Mono,
    pub(super) calls: BTreeMap<InboxId, BeginningCall>,
}

#[derive(Clone, Debug)]
pub(super) struct BeginningCall {
    pub(super) call: WaitingCall,
    /// Whether the caller hung up after the request was sent.
    pub(super) is_caller_gone: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PendingRenewal {
    pub(super) sent_at: Mono,
    pub(super) claims: Vec<Claim>,
}

/// A call with its answer, which is of the same kind.
#[derive(Debug)]
pub(super) enum Answer {
    Exchange(PendingExchange, ExchangeReply),
    BeginCalls(PendingBegin, BeginCallsReply),
    Renew(PendingRenewal, RenewReply),
    Discover { sent_at: Mono, reply: DiscoverReply },
    Tick(TickReply),
    Failed(Pending, StoreError),
}

impl Pending {
    /// The name of the request in logs and metrics: the same as
    /// [`Request::name`](crate::Request::name).
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::BeginCalls(_) => "begin_calls",
            Self::Renew(_) => "renew",
            Self::Discover { .. } => "discover",
            Self::Tick => "tick",
        }
    }
}

impl PendingCalls {
    pub(super) fn insert(&mut self, seq: u64, call: Pending) {
        self.calls.insert(seq, call);
    }

    /// Removes the call that `result` answers. An answer without a call is stale. An answer of the
    /// wrong kind is rejected, and its call stays in flight.
    pub(super) fn answer(&mut self, seq: u64, result: Result<Reply, StoreError>) -> Result<Answer, Disposition> {
        let call = self.calls.remove(&seq).ok_or(Disposition::Stale)?;
        Ok(match (call, result) {
            (call, Err(error)) => Answer::Failed(call, error),
            (Pending::Exchange(sent), Ok(Reply::Exchange(reply))) => Answer::Exchange(sent, reply),
            (Pending::BeginCalls(sent), Ok(Reply::BeginCalls(reply))) => Answer::BeginCalls(sent, reply),
            (Pending::Renew(sent), Ok(Reply::Renew(reply))) => Answer::Renew(sent, reply),
            (Pending::Discover { sent_at }, Ok(Reply::Discover(reply))) => Answer::Discover { sent_at, reply },
            (Pending::Tick, Ok(Reply::Tick(reply))) => Answer::Tick(reply),
            (call, Ok(_)) => {
                self.calls.insert(seq, call);
                return Err(Disposition::Rejected);
            }
        })
    }

    fn exchanges(&self) -> impl Iterator<Item = &PendingExchange> {
        self.calls.values().filter_map(|call| match call {
            Pending::Exchange(exchange) => Some(exchange),
            _ => None,
        })
    }

    pub(super) fn exchange_count(&self) -> usize {
        self.exchanges().count()
    }

    /// The heavy exchanges in flight, at most one.
    pub(super) fn heavy_count(&self, bytes_max: u64) -> usize {
        self.exchanges().filter(|exchange| exchange.batch.is_heavy(bytes_max)).count()
    }

    /// The number of settlements that the store has not answered.
    pub(super) fn settlement_count(&self) -> u32 {
        self.exchanges().map(|exchange| exchange.batch.settlements.len() as u32).sum()
    }

    pub(super) fn is_renewing(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Pending::Renew(_)))
    }

    pub(super) fn is_discovering(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Pending::Discover { .. }))
    }

    pub(super) fn is_ticking(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Pending::Tick))
    }

    pub(super) fn is_beginning(&self) -> bool {
        self.calls.values().any(|call| matches!(call, Pending::BeginCalls(_)))
    }

    /// The sync call of `inbox`, if its row is being written.
    pub(super) fn beginning_call(&mut self, inbox: InboxId) -> Option<&mut BeginningCall> {
        self.calls.values_mut().find_map(|call| match call {
            Pending::BeginCalls(sent) => sent.calls.get_mut(&inbox),
            _ => None,
        })
    }
}
