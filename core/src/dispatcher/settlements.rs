//! Settlements that wait for an exchange, and the meaning of the store's answers to them.
//!
//! An exchange is bounded by rows and by bytes. If the store refuses the data of an exchange, its
//! settlements are sent again in halves, until the refused one is alone. So a settlement that the
//! store refuses for good costs about two exchanges for each doubling of their number, and takes no
//! other settlement with it.

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
    /// The bytes of the settlements in `queue`.
    bytes: u64,
    /// Settlements of exchanges that the store refused. Each group is sent alone, before `queue`.
    groups: VecDeque<Vec<QueuedSettlement>>,
}

#[derive(Clone, Debug)]
pub(super) struct QueuedSettlement {
    pub(super) settlement: Settlement,
    /// Whether an exchange of unknown fate has already sent this settlement.
    pub(super) resent: bool,
    /// How many settlements of this claim the store has refused. This one replaces them.
    pub(super) refusals: u32,
    bytes: u64,
}

/// The settlements of one exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct SettlementBatch {
    pub(super) settlements: Vec<QueuedSettlement>,
    bytes: u64,
    /// Whether the settlements were refused before. Then the exchange claims nothing, so that
    /// another refusal is theirs.
    pub(super) is_isolated: bool,
}

impl SettlementBatch {
    fn of(settlements: Vec<QueuedSettlement>, is_isolated: bool) -> Self {
        let bytes = settlements.iter().map(|queued| queued.bytes).sum();
        Self { settlements, bytes, is_isolated }
    }

    /// Whether the store may work on it for long, or refuse it. At most one such exchange is in
    /// flight, so that the other one is free for small settlements and for claims.
    pub(super) fn is_heavy(&self, bytes_max: u64) -> bool {
        self.is_isolated || self.bytes > light_bytes_max(bytes_max)
    }
}

/// The most bytes of an exchange beside a heavy one: an eighth of a full one.
fn light_bytes_max(bytes_max: u64) -> u64 {
    bytes_max / 8
}

impl SettlementQueue {
    pub(super) fn push(&mut self, claim: Claim, verdict: Verdict) {
        let bytes = verdict.bytes();
        let settlement = Settlement { claim, verdict };
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back(QueuedSettlement { settlement, resent: false, refusals: 0, bytes });
    }

    /// Sends a settlement alone, in place of `refusals` settlements of its claim that were refused.
    pub(super) fn push_alone(&mut self, claim: Claim, verdict: Verdict, refusals: u32) {
        let bytes = verdict.bytes();
        let settlement = Settlement { claim, verdict };
        self.groups.push_back(vec![QueuedSettlement { settlement, resent: false, refusals, bytes }]);
    }

    pub(super) fn len(&self) -> u32 {
        (self.queue.len() + self.groups.iter().map(Vec::len).sum::<usize>()) as u32
    }

    /// The settlements of the next exchanges with claims.
    pub(super) fn queued(&self) -> u32 {
        self.queue.len() as u32
    }

    /// The next settlements that are sent alone, because an exchange with them was refused.
    pub(super) fn take_isolated(&mut self) -> Option<SettlementBatch> {
        Some(SettlementBatch::of(self.groups.pop_front()?, true))
    }

    /// The settlements of the next exchange, at most `rows_max`. All but the largest have at most
    /// `bytes_max` bytes together. So a large settlement delays no small one, and the first in the
    /// queue is always sent.
    ///
    /// Beside a heavy exchange (`is_beside_heavy`), all of them have at most the bytes of a light
    /// one. So small settlements and claims do not wait for large settlements.
    pub(super) fn take(&mut self, rows_max: u32, bytes_max: u64, is_beside_heavy: bool) -> SettlementBatch {
        let bytes_max = if is_beside_heavy { light_bytes_max(bytes_max) } else { bytes_max };
        if self.bytes <= bytes_max {
            let count = self.queue.len().min(rows_max as usize);
            let batch = SettlementBatch::of(self.queue.drain(..count).collect(), false);
            self.bytes -= batch.bytes;
            return batch;
        }
        let (mut settlements, mut others): (Vec<QueuedSettlement>, _) = (Vec::new(), VecDeque::new());
        let (mut bytes, mut largest) = (0_u64, 0);
        for queued in std::mem::take(&mut self.queue) {
            let (bytes_with, largest_with) = (bytes.saturating_add(queued.bytes), queued.bytes.max(largest));
            let counted = if is_beside_heavy { bytes_with } else { bytes_with - largest_with };
            if settlements.len() < rows_max as usize && counted <= bytes_max {
                (bytes, largest) = (bytes_with, largest_with);
                settlements.push(queued);
            } else {
                others.push_back(queued);
            }
        }
        self.bytes -= bytes;
        self.queue = others;
        SettlementBatch { settlements, bytes, is_isolated: false }
    }

    /// Puts the settlements of a failed exchange back in front of the others. `is_unknown`: the
    /// store may have applied them.
    pub(super) fn put_back(&mut self, mut batch: SettlementBatch, is_unknown: bool) {
        for queued in &mut batch.settlements {
            queued.resent |= is_unknown;
        }
        if batch.is_isolated {
            return self.groups.push_front(batch.settlements);
        }
        for queued in batch.settlements.into_iter().rev() {
            self.bytes = self.bytes.saturating_add(queued.bytes);
            self.queue.push_front(queued);
        }
    }

    /// Sends the settlements of a refused exchange again, in two halves. So the one that the store
    /// refuses is soon alone, and the others are soon applied.
    pub(super) fn isolate(&mut self, mut settlements: Vec<QueuedSettlement>) {
        let second = settlements.split_off(settlements.len().div_ceil(2));
        let halves = [second, settlements].into_iter().filter(|half| !half.is_empty());
        halves.for_each(|half| self.groups.push_front(half));
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
