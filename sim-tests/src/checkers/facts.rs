//! Reported counts are true: settled and claimed rows of an exchange, conflicts, resent
//! settlements, consecutive store failures. After a failure no call is made before the reported
//! delay: 50 ms at first, 2 ms after a deadlock, doubled at each failure up to 2 s, with a jitter
//! of one half. Until then, and before the store's first answer, the inline room is empty.

use super::{Checker, Life, Observation, Snapshot};
use crate::probes::{Probe, Probes};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_core::{Claim, ExchangeReply, Fact, Fate, Micros, Mono, OpId, Reply, Request, StoreError, StoreErrorKind};

const WAIT_MAX: u64 = 2_000_000;

#[derive(Default)]
pub(super) struct Facts {
    lives: BTreeMap<Life, LifeState>,
}

#[derive(Default)]
struct LifeState {
    settlements: BTreeMap<OpId, Vec<Claim>>,
    /// Settlements that were sent and whose fate is unknown.
    resent: BTreeSet<Claim>,
    conflicts: BTreeMap<Claim, u32>,
    failures: u32,
    /// The time of the first failure, and the reported time since then.
    failed_at: Option<Mono>,
    recovered_after: Option<Micros>,
    /// The facts that are still to be reported, in order.
    expected_facts: VecDeque<ExpectedFact>,
    /// The longest delay reported since the last idle period, and the time until which no call may
    /// be made.
    longest_delay: Micros,
    no_call_until: Mono,
    has_called: bool,
    /// The store has answered a call of this life.
    has_answer: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum ExpectedFact {
    Exchanged { settled: u32, claimed: u32 },
    InlineClaim { claimed: u32 },
    Failed { failures: u32, wait: u64 },
    Recovered { failures: u32 },
}

impl LifeState {
    fn record_answer(&mut self, op: OpId, result: &Result<Reply, StoreError>) {
        let settlements = self.settlements.remove(&op).unwrap_or_default();
        match result {
            Ok(reply) => {
                self.has_answer = true;
                if self.failures > 0 {
                    self.expected_facts
                        .push_back(ExpectedFact::Recovered { failures: std::mem::take(&mut self.failures) });
                }
                if let Reply::Exchange(ExchangeReply { fenced, conflicted, claimed, .. }) = reply {
                    // Later settlements of these claims are sent for the first time.
                    let answered = settlements.iter().filter(|claim| !fenced.contains(claim));
                    answered.for_each(|claim| _ = self.resent.remove(claim));
                    let settled = (settlements.len() - fenced.len() - conflicted.len()) as u32;
                    self.expected_facts.push_back(ExpectedFact::Exchanged { settled, claimed: claimed.len() as u32 });
                }
            }
            // The store answers, so no call waits.
            Err(error) if error.refuses_data() && !settlements.is_empty() => {}
            Err(error) => {
                if error.fate == Fate::Unknown {
                    self.resent.extend(settlements);
                }
                self.failures += 1;
                let first = if error.kind == StoreErrorKind::Contention { 2_000 } else { 50_000 };
                let wait = (first << (self.failures - 1).min(16)).min(WAIT_MAX);
                self.expected_facts.push_back(ExpectedFact::Failed { failures: self.failures, wait });
            }
        }
    }

    fn check_fact(&mut self, fact: &Fact, probes: &mut Probes) -> Result<(), String> {
        let reported = match fact {
            Fact::ExchangeAnswered { settled, claimed, .. } => {
                ExpectedFact::Exchanged { settled: *settled, claimed: *claimed }
            }
            Fact::InlineClaim { claimed } => ExpectedFact::InlineClaim { claimed: *claimed },
            Fact::StoreRecovered { failures, after } => {
                self.recovered_after = Some(*after);
                ExpectedFact::Recovered { failures: *failures }
            }
            Fact::StoreFailed { failures, retry_in, .. } => {
                self.longest_delay = self.longest_delay.max(*retry_in);
                return match self.expected_facts.pop_front() {
                    Some(ExpectedFact::Failed { failures: times, wait })
                        if times == *failures && (wait / 2..=wait + wait / 2).contains(&retry_in.0) =>
                    {
                        probes.sometimes(Probe::WaitsLonger, retry_in.0 > wait + wait / 4);
                        Ok(())
                    }
                    expected => Err(format!(
                        "{failures} store failures with a delay of {retry_in:?} are reported, expected {expected:?}"
                    )),
                };
            }
            Fact::EffectsConflicted { delivery, times } => {
                let count = self.conflicts.entry(delivery.claim()).or_default();
                *count += 1;
                return if count == times {
                    Ok(())
                } else {
                    Err(format!("{times} conflicts are reported, expected {count}"))
                };
            }
            Fact::SettlementFenced { delivery, resent } => {
                let expected = self.resent.contains(&delivery.claim());
                let what =
                    format!("{} is reported fenced with resent: {resent}, expected {expected}", delivery.claim());
                return if expected == *resent { Ok(()) } else { Err(what) };
            }
            _ => return Ok(()),
        };
        match self.expected_facts.pop_front() {
            Some(expected) if expected == reported => Ok(()),
            expected => Err(format!("{reported:?} is reported, expected {expected:?}")),
        }
    }

    fn check_idle(&mut self, now: Mono, inline_room: u32) -> Result<(), String> {
        if let Some(expected) = self.expected_facts.front() {
            return Err(format!("{expected:?} is not reported"));
        }
        if std::mem::take(&mut self.has_called) && now < self.no_call_until {
            return Err(format!("calls the store at {now:?} but must wait until {:?}", self.no_call_until));
        }
        if let Some(after) = self.recovered_after.take()
            && let Some(since) = self.failed_at.take()
            && now.since(since) != after
        {
            return Err(format!("the store failed since {since:?}; the reported time is {after:?}"));
        }
        if self.failures > 0 {
            self.failed_at.get_or_insert(now);
        }
        self.no_call_until = self.no_call_until.max(now.plus(std::mem::take(&mut self.longest_delay)));
        if inline_room > 0 && (now < self.no_call_until || !self.has_answer) {
            return Err(format!("shows inline room for {inline_room} rows but may not call the store"));
        }
        Ok(())
    }
}

impl Checker for Facts {
    fn name(&self) -> &'static str {
        "facts"
    }

    fn observe(&mut self, observation: &Observation<'_>, _: &Snapshot<'_>, probes: &mut Probes) -> Result<(), String> {
        match observation {
            Observation::StoreCalled { of, op: Some(op), request } => {
                let state = self.lives.entry(*of).or_default();
                state.has_called = true;
                if let Request::Exchange { settle, .. } = request {
                    state.settlements.insert(*op, settle.iter().map(|one| one.claim).collect());
                }
                Ok(())
            }
            Observation::StoreAnswered { of, op, result, accepted: true } => {
                self.lives.entry(*of).or_default().record_answer(*op, result);
                Ok(())
            }
            Observation::InlineClaim { of, claimed } => {
                let expected = ExpectedFact::InlineClaim { claimed: claimed.len() as u32 };
                self.lives.entry(*of).or_default().expected_facts.push_back(expected);
                Ok(())
            }
            Observation::Fact { of, fact } => self.lives.entry(*of).or_default().check_fact(fact, probes),
            Observation::Idle { of, now, view, .. } => {
                let result = self.lives.entry(*of).or_default().check_idle(*now, view.inline_room);
                result.map_err(|what| format!("daemon {} {what}", of.daemon))
            }
            Observation::LifeEnded { of } => {
                self.lives.remove(of);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
