//! A dispatcher claims at most its free permits, plus the rows that its handlers finish during two
//! exchanges. Rows that an inline claim in flight returns count as claimed. Other daemons could run
//! the rest.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_core::{Micros, Mono, OpId, Request};

/// The number of round trips in the estimate. Older round trips weigh less than a thousandth.
const ROUND_TRIPS: usize = 32;
/// Older executions do not count.
const PAST: Micros = Micros::from_secs(60);
/// A shorter busy time counts as this long.
const BUSY_MIN_US: u64 = 1_000;
/// The most rows that one execution can justify.
const ROWS_PER_EXECUTION: u64 = 16;

#[derive(Default)]
pub(super) struct Hoarding {
    lives: BTreeMap<Life, LifeState>,
    executions: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    running: BTreeSet<OpId>,
    /// Rows of the inline claim in flight.
    inline_rows: u32,
    requests: BTreeMap<OpId, RowRequest>,
    /// Exchanges answered since the last idle period.
    answered_requests: Vec<RowRequest>,
    round_trips: VecDeque<u64>,
    /// Executions that ended since the last input.
    new_ends: u64,
    /// The totals of this life, after the last input.
    totals: Totals,
    /// The totals after earlier inputs that changed them.
    earlier: VecDeque<Totals>,
    /// Whether executions run after the last input.
    is_busy: bool,
}

/// The executions that ended until `at`, and the time in which executions ran.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    at: Mono,
    ended: u64,
    busy_us: u64,
}

/// The rows that an exchange requests.
#[derive(Clone, Copy, Debug)]
struct RowRequest {
    rows: u32,
    /// The daemon's time of the request, and the most rows that it may request. Both are known at
    /// the next idle period.
    at: Option<(Mono, u64)>,
}

impl LifeState {
    /// Counts the executions that ended, and the busy time until `now`.
    fn count_until(&mut self, now: Mono) {
        let before = self.totals;
        self.totals.at = now;
        self.totals.ended += std::mem::take(&mut self.new_ends);
        self.totals.busy_us += if self.is_busy { now.since(before.at).0 } else { 0 };
        if (before.ended, before.busy_us) != (self.totals.ended, self.totals.busy_us) {
            self.earlier.push_back(before);
        }
        while self.earlier.front().is_some_and(|totals| now.since(totals.at) > PAST) {
            self.earlier.pop_front();
        }
    }

    /// The most rows that the handlers finish in two round trips, at the highest rate of their busy
    /// time since any earlier input. An average with falling weights is at most this rate, and at
    /// most twice this rate if a part of the busy time is shorter than `BUSY_MIN_US`.
    fn prefetch_max(&self) -> u64 {
        let round_trip = self.round_trips.iter().copied().max().unwrap_or_default() + 1_000;
        let finished_since = |from: &Totals| {
            let (ended, busy_us) = (self.totals.ended - from.ended, self.totals.busy_us - from.busy_us);
            (4 * round_trip * ended / busy_us.max(BUSY_MIN_US)).min(ROWS_PER_EXECUTION * ended)
        };
        self.earlier.iter().map(finished_since).max().unwrap_or_default() + 1
    }

    /// Returns a message if the dispatcher requests too many rows.
    fn check_idle(&mut self, now: Mono, queued: u32, probes: &mut Probes) -> Option<String> {
        let round_trips = self.answered_requests.drain(..).filter_map(|request| Some(now.since(request.at?.0).0));
        self.round_trips.extend(round_trips);
        self.round_trips.drain(..self.round_trips.len().saturating_sub(ROUND_TRIPS));
        if self.requests.values().all(|request| request.at.is_some()) {
            return None;
        }
        let free = u64::from(self.permits.saturating_sub(self.running.len() as u32));
        let prefetch = self.prefetch_max();
        let requested: u64 = self.requests.values().map(|request| u64::from(request.rows)).sum();
        let new = self.requests.values_mut().filter(|request| request.at.is_none());
        for one in new {
            let others = requested - u64::from(one.rows) + u64::from(self.inline_rows);
            // Rows that wait while permits are free wait for their own lane. They do not take a
            // permit from others.
            let most = (free + prefetch.saturating_sub(u64::from(queued))).saturating_sub(others);
            one.at = Some((now, most));
            probes.sometimes(Probe::ClaimedAhead, others + u64::from(queued + one.rows) > free);
            if u64::from(one.rows) > most {
                return Some(format!(
                    "requests {} rows with {free} free permits, {queued} queued rows and {others} rows in flight; \
                     its handlers finish {prefetch} in two round trips",
                    one.rows
                ));
            }
        }
        None
    }
}

fn rows(request: &Request) -> u32 {
    let Request::Exchange { claim, suspect, .. } = request else { return 0 };
    claim.iter().map(|quota| quota.quota).sum::<u32>() + suspect.map_or(0, |claim| claim.quota)
}

impl Checker for Hoarding {
    fn name(&self) -> &'static str {
        "hoarding"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => self.lives.entry(*of).or_default().permits = gate.for_async(),
            Observation::StoreCalled { of, op: Some(op), request: request @ Request::Exchange { .. } } => {
                self.lives.entry(*of).or_default().requests.insert(*op, RowRequest { rows: rows(request), at: None });
            }
            Observation::StoreApplied { of, op, request, .. } => {
                let row_request = self.lives.get(of).and_then(|state| state.requests.get(op));
                if let Some((_, most)) = row_request.and_then(|row_request| row_request.at)
                    && u64::from(rows(request)) > most
                {
                    return Err(format!(
                        "daemon {} claims {} rows, at most {most} are useful",
                        of.daemon,
                        rows(request)
                    ));
                }
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                let state = self.lives.entry(*of).or_default();
                state.answered_requests.extend(state.requests.remove(op).filter(|_| result.is_ok()));
            }
            Observation::ExecutionStarted { of, op, delivery } if delivery.reply_to.is_none() => {
                self.executions.insert(*op, *of);
                self.lives.entry(*of).or_default().running.insert(*op);
            }
            Observation::ExecutionEnded { op, outcome, .. } => {
                if let Some(state) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running.remove(op);
                    state.new_ends += u64::from(outcome.is_some());
                }
            }
            Observation::InlineClaimInFlight { of, rows } => {
                self.lives.entry(*of).or_default().inline_rows = *rows;
            }
            Observation::InlineClaim { of, .. } => self.lives.entry(*of).or_default().inline_rows = 0,
            Observation::InputHandled { of, now, .. } => {
                self.lives.entry(*of).or_default().count_until(*now);
            }
            Observation::Idle { of, view, now, .. } => {
                let state = self.lives.entry(*of).or_default();
                state.is_busy = !state.running.is_empty();
                if let Some(what) = state.check_idle(*now, view.queued, probes) {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
