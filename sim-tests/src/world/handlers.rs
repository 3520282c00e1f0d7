//! Handlers: duration, failures and staged effects.

use super::clients::event;
use super::{Event, World};
use crate::app::{self, app as the_app, is_poison};
use crate::checkers::{Observation, Violation};
use crate::draw::Draw;
use crate::plan::{CrashPoint, HandlerFault};
use crate::probes::Probe;
use crate::replies;
use std::sync::Arc;
use tidegate_core::{
    Collection, Delivery, DeliveryId, Effects, ExecError, Failure, Json, Key, KvWrite, Micros, OpId, Outcome,
    ReadVersion,
};
use tidegate_io_sim::Memory;

/// The message of a failed attempt that was the only permitted one.
pub(crate) const ONLY_ATTEMPT_FAILED: &str = "the only attempt failed";
/// The begin of a message that is too long.
const LONG_BEGIN: &str = "the handler failed at length: ";
/// The downtime of a daemon after an event has killed it, in microseconds.
pub(crate) const POISON_DOWN: u64 = 100_000;

impl World {
    pub(super) fn execute(&mut self, daemon: usize, op: OpId, delivery: &Arc<Delivery>) -> Result<(), Violation> {
        let (of, claim) = (self.life(daemon), delivery.claim());
        self.executions.insert(op, claim);
        self.trace.tell(|| {
            let (name, attempt) = (&delivery.trigger_name, delivery.attempt);
            format!("daemon {daemon}: executes {claim}, {name}, attempt {attempt}")
        });
        let times = if self.bug.is_some_and(crate::sabotage::Bug::executes_twice) { 2 } else { 1 };
        for nth in 0..times {
            let op = OpId { seq: op.seq + nth * 1_000_000, ..op };
            self.observe(&Observation::ExecutionStarted { of, op, delivery })?;
        }
        if self.bug.is_some_and(|bug| bug.executes_again(delivery.trigger_name.as_str())) {
            self.observe(&Observation::ExecutionEnded { op, claim, outcome: None })?;
            self.observe(&Observation::ExecutionStarted { of, op, delivery })?;
        }
        self.starts(daemon, op);
        if self.crashes_at(daemon, CrashPoint::Starting)? {
            return Ok(());
        }
        let fault = if self.now < self.plan.heal_at { self.daemons[daemon].handler_faults.pop_front() } else { None };
        let (wait, took, outcome) = self.handler(daemon, delivery, fault);
        let life = of.life;
        if outcome.is_started() && wait == 0 {
            self.observe(&Observation::HandlerBegan { op })?;
        } else if outcome.is_started() {
            self.at(self.now + wait, Event::HandlerBegins { daemon, life, op });
        }
        if let Some((CrashPoint::Running, down)) =
            self.daemons[daemon].next_crash.filter(|_| self.now < self.plan.heal_at)
        {
            self.at(self.now + wait + took / 2, Event::DieRunning { daemon, op, down });
        }
        if is_poison(&delivery.event) {
            self.probes.sometimes(Probe::Poisoned, true);
            self.at(self.now + wait + took / 2, Event::DieRunning { daemon, op, down: POISON_DOWN });
        }
        if fault != Some(HandlerFault::Hang) {
            let start_wait = Micros(wait);
            self.at(self.now + wait + took, Event::Finish { daemon, life, op, outcome, start_wait });
        }
        Ok(())
    }

    /// The start wait, the duration and the outcome of an execution, with its fault if it has one.
    fn handler(&mut self, daemon: usize, delivery: &Delivery, fault: Option<HandlerFault>) -> (u64, u64, Outcome) {
        let wait = start_wait(self.plan.seed, delivery, self.cost.store_calls);
        let (took, outcome) = outcome(self.plan.seed, delivery, self.cost.store_calls, &self.store);
        if fault == Some(HandlerFault::NotStarted) || self.daemons[daemon].full_until > self.now {
            let (waited, outcome) = not_started(took);
            return (waited, 0, outcome);
        }
        if let Some(fault) = fault {
            self.probes.sometimes(Probe::Panicked, fault == HandlerFault::Panic);
            self.probes.sometimes(Probe::SuccessAsFailure, fault == HandlerFault::SuccessAsFailure);
            return (wait, took.min(1_000_000), handler_failure(fault));
        }
        if self.down.get(delivery.trigger_name.as_str()).is_some_and(|until| *until > self.now) {
            return (wait, took, failed(ExecError::EndpointUnreachable, "the destination is down"));
        }
        (wait, took, outcome)
    }
}

/// The duration and outcome of an execution without a fault, drawn for this execution alone.
pub(crate) fn outcome(seed: u64, delivery: &Delivery, nth: u64, store: &Memory) -> (u64, Outcome) {
    let name = delivery.trigger_name.as_str();
    let mut draw = Draw::for_execution(seed, delivery.id.0, delivery.lease.0, nth);
    let took = match name {
        "slow" => draw.between(50_000, 900_000),
        "page" => draw.between(500, 300_000),
        // Renewals of a limited lane have a rule of their own, so some of its executions outlast
        // several renewals.
        "limited" if draw.permille(200) => draw.between(300_000, 1_900_000),
        _ if draw.permille(20) => draw.between(500_000, 3_000_000),
        _ => draw.between(500, 30_000),
    };
    if took > delivery.timeout.0 {
        return (delivery.timeout.0, failed(ExecError::Timeout, "ran past its timeout"));
    }
    let fails = match name {
        "doomed" => true,
        "flaky" => draw.permille(600),
        "aging" => draw.permille(800),
        "letters" => draw.permille(400),
        "once" => draw.permille(300),
        _ => draw.permille(50),
    };
    if name == "doomed" && delivery.attempt >= delivery.policy.max_attempts() {
        return (took, fails_at_length(delivery.id));
    }
    if fails {
        let message = if name == "once" { ONLY_ATTEMPT_FAILED } else { "the handler failed" };
        return (took, failed(ExecError::ScriptError, message));
    }
    let answers = name == "page" || (delivery.reply_to.is_some() && draw.permille(500));
    let reply = if answers { replies::draw(&mut draw) } else { None };
    (took, Outcome::Succeeded { effects: effects(delivery, store), reply })
}

/// The wait of an execution for a thread, drawn for this execution alone. It is shorter than the
/// longest start wait.
pub(crate) fn start_wait(seed: u64, delivery: &Delivery, nth: u64) -> u64 {
    let mut draw = Draw::for_execution(!seed, delivery.id.0, delivery.lease.0, nth);
    if draw.permille(100) { draw.between(20_000, 150_000) } else { 0 }
}

/// The wait and the outcome of an execution that gets no thread: the executor refuses at once, or
/// after the longest wait for a thread.
pub(crate) fn not_started(took: u64) -> (u64, Outcome) {
    let waited = if took.is_multiple_of(2) { 100 } else { 200_000 };
    (waited, Outcome::NotStarted { reason: "no thread is free".to_owned() })
}

/// The outcome of an execution with this fault.
pub(crate) fn handler_failure(fault: HandlerFault) -> Outcome {
    match fault {
        HandlerFault::Hang => failed(ExecError::Timeout, "the handler hangs"),
        HandlerFault::Panic => failed(ExecError::Internal, "the handler panicked"),
        HandlerFault::SuccessAsFailure => {
            failed(ExecError::EndpointStatus(500), "the work was done but a failure is reported")
        }
        HandlerFault::RetryAfter(wish) => {
            let failure = Failure::new(ExecError::EndpointStatus(429), "too many requests");
            Outcome::Failed(Failure { retry_after: Some(Micros(wish)), ..failure })
        }
        HandlerFault::Permanent => failed(ExecError::EndpointStatus(400), "a permanent failure"),
        HandlerFault::NotStarted => not_started(0).1,
        HandlerFault::Denied => failed(ExecError::PrincipalDenied, "the principal is gone"),
        HandlerFault::Missing => failed(ExecError::HandlerMissing, "there is no such handler, line 12 of 345"),
    }
}

/// Increments the counter of the trigger and the mark of this delivery.
fn effects(delivery: &Delivery, store: &Memory) -> Effects {
    let name = delivery.trigger_name.as_str();
    let mut effects = Effects::default();
    let is_reader = name == "owned" && delivery.event.id.0.as_u128().is_multiple_of(2);
    let mark = format!("{}.{}", delivery.event.id, delivery.trigger_id);
    for (collection, key) in [("counts", name), ("marks", mark.as_str())] {
        let collection = Collection::new(collection).expect("a word");
        let key = Key::new(key).expect("a short text");
        let entry = store.get(&the_app(), &collection, &key).expect("the app is there");
        let count: u64 = entry.as_ref().map_or(0, |entry| entry.value.as_str().parse().unwrap_or_default());
        let version = entry.map(|entry| entry.version);
        effects.reads.push(ReadVersion { collection: collection.clone(), key: key.clone(), version });
        if !is_reader {
            let value = Some(Json::from(serde_json::json!(count + 1)));
            effects.writes.push(KvWrite { collection, key, value });
        }
    }
    if name == "loop" && delivery.event.depth <= app::MAX_DEPTH {
        effects.events.push(event("loop", ""));
    }
    // A delivery that dies at the last permitted depth. Its dead-letter handler is one deeper.
    if name == "loop" && delivery.event.depth + 1 == app::MAX_DEPTH {
        effects.events.push(event("doomed", ""));
    }
    if name == "letters" {
        effects.events.push(event("count", ""));
    }
    effects
}

/// A failure with a message that is too long, and with a back-off that is as long as permitted, or
/// longer, or of usual length.
fn fails_at_length(delivery: DeliveryId) -> Outcome {
    let (message, retry_after) = long_message(delivery, LONG_BEGIN).expect("the begin of a long message");
    Outcome::Failed(Failure { retry_after, ..Failure::new(ExecError::ScriptError, message) })
}

/// The message and the requested back-off of a delivery that fails with a message which is too
/// long. `None` if `message` is another one.
pub(crate) fn long_message(delivery: DeliveryId, message: &str) -> Option<(String, Option<Micros>)> {
    let permitted = Micros::from_secs(7 * 24 * 3_600);
    let retry_after = match delivery.0 % 3 {
        0 => None,
        1 => Some(permitted),
        _ => Some(Micros(permitted.0 + 1_000)),
    };
    // The end falls between two characters, or into one.
    let padding = if delivery.0 % 2 == 0 { "" } else { "." };
    message.starts_with(LONG_BEGIN).then(|| (format!("{LONG_BEGIN}{padding}{}", "é".repeat(2_500)), retry_after))
}

pub(crate) fn failed(error: ExecError, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(error, message))
}
