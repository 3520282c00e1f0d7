//! Settlements that wait for an exchange, and the meaning of the store's answers to them.

use crate::claim::Claim;
use crate::delivery::Verdict;
use crate::io::Ending;
use crate::store::Settlement;
use crate::sync::SyncOutcome;
use std::collections::{BTreeSet, VecDeque};

/// Settlements in the order in which the next exchanges send them.
#[derive(Clone, Debug, Default)]
pub(super) struct SettlementQueue {
    queue: VecDeque<QueuedSettlement>,
}

#[derive(Clone, Debug)]
pub(super) struct QueuedSettlement {
    pub(super) settlement: Settlement,
    /// Whether an exchange of unknown fate has already sent this settlement.
    pub(super) resent: bool,
}

impl SettlementQueue {
    pub(super) fn push(&mut self, claim: Claim, verdict: Verdict) {
        self.queue.push_back(QueuedSettlement { settlement: Settlement { claim, verdict }, resent: false });
    }

    pub(super) fn len(&self) -> u32 {
        self.queue.len() as u32
    }

    pub(super) fn take(&mut self, max: u32) -> Vec<QueuedSettlement> {
        let count = self.queue.len().min(max as usize);
        self.queue.drain(..count).collect()
    }

    /// Puts the settlements of a failed exchange back in front of the others. `is_unknown`: the
    /// store may have applied them.
    pub(super) fn put_back(&mut self, sent: Vec<QueuedSettlement>, is_unknown: bool) {
        for mut queued in sent.into_iter().rev() {
            queued.resent |= is_unknown;
            self.queue.push_front(queued);
        }
    }
}

/// The store's answers to the settlements of one exchange.
#[derive(Debug)]
pub(super) struct SettlementAnswers {
    fenced: BTreeSet<Claim>,
    conflicted: BTreeSet<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettlementAnswer {
    Applied,
    Conflicted,
    Fenced,
}

impl SettlementAnswers {
    pub(super) fn new(fenced: Vec<Claim>, conflicted: Vec<Claim>) -> Self {
        Self { fenced: BTreeSet::from_iter(fenced), conflicted: BTreeSet::from_iter(conflicted) }
    }

    pub(super) fn of(&self, claim: Claim) -> SettlementAnswer {
        if self.fenced.contains(&claim) {
            SettlementAnswer::Fenced
        } else if self.conflicted.contains(&claim) {
            SettlementAnswer::Conflicted
        } else {
            SettlementAnswer::Applied
        }
    }
}

/// The ending of a delivery whose verdict was applied. `None` for an executed sync call: its row
/// stays until the reply is delivered.
pub(super) fn ending(verdict: Verdict, outcome: Option<SyncOutcome>) -> Option<Ending> {
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
