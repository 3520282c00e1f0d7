//! The cost of a run. A dispatcher that calls the store too often, or lets rows wait a little,
//! breaks no promise. A change of these numbers shows it.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use tidegate_core::{ExchangeReply, Fact, Reply, Request, Verdict};

/// The cost of one run or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub store_calls: u64,
    /// The simulated time, in microseconds.
    pub lasted: u64,
    pub conflicts: u64,
    /// Claims that were released because no permit became free.
    pub deferrals: u64,
    /// The wait from the due time to the claim, for first attempts before the first fault.
    pub first_claims: Waits,
    /// The wait from the due time to the claim, for later attempts before the first fault.
    pub retries: Waits,
    /// The wait from the due time to the start, before the first fault.
    pub starts: Waits,
    /// How often each of some other things occurred.
    pub counts: BTreeMap<&'static str, u64>,
}

/// The number of rows that waited. The length of the waits is not counted, because a few rows that
/// were late from the start would dominate it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Rows that waited no longer than two round trips to the store.
    pub prompt: u64,
    pub count: u64,
}

/// Two round trips to the simulated store, in microseconds.
const PROMPT: u64 = 2_500;

impl Waits {
    pub(crate) fn add(&mut self, micros: u64) {
        self.prompt += u64::from(micros <= PROMPT);
        self.count += 1;
    }

    /// Prompt rows per thousand.
    #[must_use]
    pub fn prompt_permille(self) -> u64 {
        self.prompt * 1_000 / self.count.max(1)
    }
}

impl AddAssign for Waits {
    fn add_assign(&mut self, other: Self) {
        self.prompt += other.prompt;
        self.count += other.count;
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.store_calls += other.store_calls;
        self.lasted += other.lasted;
        self.conflicts += other.conflicts;
        self.deferrals += other.deferrals;
        self.first_claims += other.first_claims;
        self.retries += other.retries;
        self.starts += other.starts;
        other.counts.into_iter().for_each(|(name, more)| self.count(name, more));
    }
}

impl Cost {
    pub(crate) fn count(&mut self, name: &'static str, more: u64) {
        *self.counts.entry(name).or_default() += more;
    }

    pub(crate) fn reported(&mut self, fact: &Fact) {
        match fact {
            Fact::InlineClaim { claimed } => self.count("rows claimed inline", u64::from(*claimed)),
            Fact::CallRefused { .. } => self.count("refused calls", 1),
            Fact::SettlementFenced { .. } => self.count("fenced settlements", 1),
            Fact::LeaseLost { .. } => self.count("lost leases", 1),
            Fact::HandlerNotStarted { .. } => self.count("handlers that did not start", 1),
            Fact::ExecutionOverran { .. } => self.count("overrun executions", 1),
            _ => {}
        }
    }

    /// Counts a store call that was applied.
    pub(crate) fn applied(&mut self, request: &Request, reply: &Reply, is_well: bool) {
        self.store_calls += 1;
        let (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { now, conflicted, claimed, .. })) =
            (request, reply)
        else {
            return;
        };
        let is_empty_claim = claimed.is_empty() && settle.is_empty();
        self.count("empty exchanges", u64::from(is_empty_claim));
        self.conflicts += conflicted.len() as u64;
        self.deferrals += settle.iter().filter(|one| matches!(one.verdict, Verdict::Deferred { .. })).count() as u64;
        for row in claimed.iter().filter(|_| is_well) {
            let waits = if (row.attempt, row.lost) == (1, 0) { &mut self.first_claims } else { &mut self.retries };
            waits.add(now.since(row.due_at).0);
        }
    }
}
