//! A dispatcher claims at most its free permits, plus the rows that its handlers finish during two
//! exchanges. Other daemons could run the rest.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_core::{Micros, Mono, OpId, Request};

/// The number of round trips in the estimate. Older ones weigh less than a thousandth.
const ROUND_TRIPS: usize = 32;
/// The period for which an ended execution counts as recent, and the microseconds for which one
/// recent execution is counted.
const RECENT: Micros = Micros::from_secs(2);
const RECENT_PASSES_FOR: u64 = 20_000;
/// The period of older executions, which count for a longer time.
const PAST: Micros = Micros::from_secs(60);
const PAST_PASSES_FOR: u64 = 2_000_000;

#[derive(Default)]
pub(super) struct Hoarding {
    lives: BTreeMap<Life, LifeState>,
    executions: BTreeMap<OpId, Life>,
}

#[derive(Default)]
struct LifeState {
    permits: u32,
    running: BTreeSet<OpId>,
    asked: BTreeMap<OpId, Asked>,
    /// Exchanges answered since the last idle period.
    answered: Vec<Asked>,
    round_trips: VecDeque<u64>,
    /// Executions that ended since the last idle period.
    ending: usize,
    ended: VecDeque<Mono>,
}

/// The rows that an exchange requests.
#[derive(Clone, Copy, Debug)]
struct Asked {
    rows: u32,
    /// The daemon's time of the request, and the most rows that it may have requested. Known at the
    /// next idle period.
    at: Option<(Mono, u64)>,
}

impl LifeState {
    /// The most rows that the handlers finish in two round trips.
    fn ahead(&self, now: Mono) -> u64 {
        let round_trip = self.round_trips.iter().copied().max().unwrap_or_default() + 1_000;
        let recent = self.ended.iter().rev().take_while(|at| now.since(**at) <= RECENT).count() as u64;
        let past = self.ended.len() as u64;
        2 * round_trip * recent / RECENT_PASSES_FOR + 2 * round_trip * past / PAST_PASSES_FOR + 1
    }

    /// Returns a message if the dispatcher requests too many rows.
    fn rests(&mut self, now: Mono, queued: u32, probes: &mut Probes) -> Option<String> {
        let round_trips = self.answered.drain(..).filter_map(|asked| Some(now.since(asked.at?.0).0));
        self.round_trips.extend(round_trips);
        self.round_trips.drain(..self.round_trips.len().saturating_sub(ROUND_TRIPS));
        self.ended.extend(std::iter::repeat_n(now, std::mem::take(&mut self.ending)));
        while self.ended.front().is_some_and(|at| now.since(*at) > PAST) {
            self.ended.pop_front();
        }
        if self.asked.values().all(|asked| asked.at.is_some()) {
            return None;
        }
        let free = u64::from(self.permits.saturating_sub(self.running.len() as u32));
        let ahead = self.ahead(now);
        let asked: u64 = self.asked.values().map(|asked| u64::from(asked.rows)).sum();
        let new = self.asked.values_mut().filter(|asked| asked.at.is_none());
        for one in new {
            let others = asked - u64::from(one.rows);
            // Rows that wait while permits are free wait for their own lane. They do not take a
            // permit from others.
            let most = (free + ahead.saturating_sub(u64::from(queued))).saturating_sub(others);
            one.at = Some((now, most));
            probes.sometimes(Probe::ClaimedAhead, others + u64::from(queued + one.rows) > free);
            if u64::from(one.rows) > most {
                return Some(format!(
                    "requests {} rows with {free} free permits, {queued} queued rows and {others} rows in flight; \
                     its handlers finish {ahead} in two round trips",
                    one.rows
                ));
            }
        }
        None
    }
}

fn rows(request: &Request) -> u32 {
    let Request::Exchange { claim, .. } = request else { return 0 };
    claim.iter().map(|quota| quota.quota).sum()
}

impl Checker for Hoarding {
    fn name(&self) -> &'static str {
        "hoarding"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::Configured { of, gate, .. } => self.lives.entry(*of).or_default().permits = gate.for_async(),
            Observation::StoreCalled { of, op: Some(op), request: request @ Request::Exchange { .. } } => {
                self.lives.entry(*of).or_default().asked.insert(*op, Asked { rows: rows(request), at: None });
            }
            Observation::StoreApplied { of, op, request, .. } => {
                let asked = self.lives.get(of).and_then(|state| state.asked.get(op));
                if let Some((_, most)) = asked.and_then(|asked| asked.at)
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
                state.answered.extend(state.asked.remove(op).filter(|_| result.is_ok()));
            }
            Observation::ExecutionStarted { of, op, delivery } if delivery.reply_to.is_none() => {
                self.executions.insert(*op, *of);
                self.lives.entry(*of).or_default().running.insert(*op);
            }
            Observation::ExecutionEnded { op, .. } => {
                if let Some(state) = self.executions.remove(op).and_then(|of| self.lives.get_mut(&of)) {
                    state.running.remove(op);
                    state.ending += 1;
                }
            }
            Observation::Idle { of, view, now, .. } => {
                let state = self.lives.entry(*of).or_default();
                if let Some(what) = state.rests(*now, view.queued, probes) {
                    return Err(format!("daemon {} {what}", of.daemon));
                }
            }
            Observation::LifeEnded { of } => _ = self.lives.remove(of),
            _ => {}
        }
        Ok(())
    }
}
