//! What a run costs. No promise is broken by a dispatcher that asks too often or lets rows wait a little; that it does so
//! more than it used to shows here.

use std::ops::AddAssign;
use tidegate_core::{ExchangeReply, Reply, Request, Verdict};

/// What a run costs, or many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Store calls that were applied.
    pub store_calls: u64,
    /// How long the world lived, in simulated microseconds.
    pub lasted: u64,
    /// Settlements whose effects conflicted.
    pub conflicts: u64,
    /// Claims that were given back because no permit became free.
    pub deferrals: u64,
    /// From due to claimed, for first attempts, while nothing had gone wrong yet.
    pub first_claims: Waits,
    /// The same for attempts after a failed one.
    pub retries: Waits,
    /// From due to started, while nothing had gone wrong yet.
    pub starts: Waits,
}

/// How many had to wait. Not how long: a few rows that were late from the start would hide all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Those that did not wait longer than two round trips to the store.
    pub prompt: u64,
    /// All of them.
    pub count: u64,
}

/// Two round trips to the simulated store.
const PROMPT: u64 = 2_500;

impl Waits {
    pub(crate) fn add(&mut self, micros: u64) {
        self.prompt += u64::from(micros <= PROMPT);
        self.count += 1;
    }

    /// How many of a thousand were prompt.
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
    }
}

impl Cost {
    /// A store call was applied.
    pub(crate) fn applied(&mut self, request: &Request, reply: &Reply, is_well: bool) {
        self.store_calls += 1;
        let (Request::Exchange { settle, .. }, Reply::Exchange(ExchangeReply { now, conflicted, claimed, .. })) =
            (request, reply)
        else {
            return;
        };
        self.conflicts += conflicted.len() as u64;
        self.deferrals += settle.iter().filter(|one| matches!(one.verdict, Verdict::Deferred { .. })).count() as u64;
        for row in claimed.iter().filter(|_| is_well) {
            let waits = if row.attempt == 1 { &mut self.first_claims } else { &mut self.retries };
            waits.add(now.since(row.due_at).0);
        }
    }
}
