//! Bugs between a dispatcher and the world.

use super::{Bug, Saboteur};
use crate::app::MAX_DEPTH;
use crate::checkers::Life;
use crate::world::ONLY_ATTEMPT_FAILED;
use std::sync::Arc;
use tidegate_core::{
    Action, AppName, Attempt, ConfigSpec, DeadReason, Delivery, Effects, Ending, ExchangeReply, ExecError, Fact,
    Failure, IdleReason, Input, Micros, Mono, Outcome, Output, Reply, Request, Standing, StoreError, SyncCall,
    SyncReply, SyncTarget, Timestamp, TriggerId, Verdict, View,
};
use tidegate_io_sim::Row;

impl Bug {
    pub(crate) fn configure(self, spec: &mut ConfigSpec) {
        match self {
            Self::GateOffByOne => spec.gate.permits += 1,
            Self::ReserveIgnored => spec.gate.sync_reserve = 0,
            Self::AsyncReserveIgnored => spec.gate.async_reserve = 0,
            Self::CallsOffByOne => {
                spec.gate.permits += 1;
                spec.gate.sync_reserve += 1;
            }
            Self::QueueTooLong => spec.sync_queue_max += 1,
            Self::QueueTooShort => spec.sync_queue_max -= 1,
            Self::BatchIgnored => spec.batch_max += 1,
            Self::DepthOffByOne => spec.max_trigger_depth += 1,
            Self::RestsTooShort => spec.gate_backoff_ms = 1,
            _ => {}
        }
    }

    /// True if the bug hides this fact.
    pub(crate) fn hides(self, fact: &Fact) -> bool {
        let is_dead = matches!(fact, Fact::DeliverySettled { ending: Ending::Dead { .. }, .. });
        self == Self::FactUntold && is_dead
    }

    /// A false fact that the bug adds after a fact.
    pub(crate) fn adds_fact(self, fact: &Fact) -> Option<Fact> {
        if let (Self::CountsWrong, Fact::ExchangeAnswered { settled, claimed, took }) = (self, fact) {
            return Some(Fact::ExchangeAnswered { settled: *settled, claimed: claimed + 1, took: *took });
        }
        let Fact::ExecutionStarted { delivery, .. } = fact else { return None };
        let ending = Ending::Deferred { delay: Micros::ZERO };
        let false_fact = Fact::DeliverySettled { delivery: Arc::clone(delivery), ending, run: None };
        (self == Self::FactWrong).then_some(false_fact)
    }

    /// True if a dispatcher with the bug stops now. The bug spares callers.
    pub(crate) fn stops(self, view: &View, has_callers: bool) -> bool {
        let only_settles = view.settling > 0 && view.running == 0 && view.replying == 0 && !has_callers;
        self == Self::StopsUnsettled && view.shutting_down && only_settles
    }

    pub(crate) fn replies_twice(self) -> bool {
        self == Self::RepliesTwice
    }

    pub(crate) fn executes_twice(self) -> bool {
        self == Self::ExecutesTwice
    }

    pub(crate) fn executes_again(self, trigger: &str) -> bool {
        self == Self::ExecutesAgain && trigger == "count"
    }

    /// Changes a verdict. False if the bug loses the settlement.
    fn change_verdict(self, verdict: &mut Verdict, attempt: u32, allowed: u32) -> bool {
        match (self, &mut *verdict) {
            (Self::LostRetry, Verdict::Retry { .. }) => return false,
            (Self::StartsEarly, Verdict::Retry { failed, .. }) => {
                failed.started_at = failed.started_at.minus(Micros::from_millis(20));
            }
            (Self::NoteMissing, Verdict::Dead { failed: Some(failed), .. }) => {
                failed.message.truncate(failed.message.find('\n').unwrap_or(failed.message.len()));
            }
            (Self::JitterTooWide, Verdict::Retry { delay, .. }) => delay.0 += delay.0 / 2,
            // `attempt` does not count the attempt that has just failed.
            (Self::OneAttemptLess, Verdict::Retry { failed, .. }) if attempt + 2 == allowed => {
                *verdict = Verdict::Dead {
                    reason: DeadReason::AttemptsExhausted,
                    attempts: attempt + 1,
                    fingerprint: failed.fingerprint(),
                    failed: Some(failed.clone()),
                    disable_trigger: false,
                };
            }
            (Self::FailureIsSuccess, Verdict::Retry { .. }) => *verdict = Verdict::Done { effects: Effects::default() },
            (Self::DiesOfAnother, Verdict::Dead { reason, .. }) if *reason == DeadReason::Permanent => {
                *reason = DeadReason::HandlerMissing;
            }
            (Self::EffectsForgotten, Verdict::Done { effects }) => *effects = Effects::default(),
            (Self::CallRetried, Verdict::Executed { outcome, .. }) if outcome.error.is_some() => {
                let failed = Attempt {
                    attempt: 1,
                    started_at: tidegate_core::Timestamp::EPOCH,
                    duration: None,
                    error: ExecError::ScriptError,
                    message: String::new(),
                };
                *verdict = Verdict::Retry { delay: Micros(1_000), failed };
            }
            _ => {}
        }
        true
    }
}

/// Turns the release of a row into a lost attempt, if the row may be tried again.
fn count_release(row: &Row, verdict: &mut Verdict) {
    let attempt = row.attempt + 1;
    if *verdict == (Verdict::Deferred { delay: Micros::ZERO }) && attempt < row.policy.max_attempts() {
        let (error, message) = (ExecError::Lost, String::new());
        let failed = Attempt { attempt, started_at: Timestamp::EPOCH, duration: None, error, message };
        *verdict = Verdict::Retry { delay: row.policy.jitter_range(attempt).0, failed };
    }
}

/// More than any id of a trigger.
const LANES_APART: i64 = 1_000_000;

impl Saboteur<'_> {
    /// The request that a dispatcher with the bug sends. `None` if it sends none.
    pub(crate) fn sabotaged_request(&self, mut request: Request) -> Option<Request> {
        let Some(bug) = self.bug else { return Some(request) };
        if let (Bug::Favourite, Request::Exchange { claim, .. }) = (bug, &mut request)
            && let [first, .., last] = claim.as_mut_slice()
        {
            first.quota += last.quota - 1;
            last.quota = 1;
        }
        if let (Bug::ClaimsTooMuch, Request::Exchange { claim, .. }) = (bug, &mut request) {
            // Only one lane, so that fairness between lanes is not affected.
            if let [alone] = claim.as_mut_slice() {
                alone.quota *= 3;
            }
        }
        if let Request::Exchange { claim, .. } = &mut request {
            for quota in claim {
                let mut rows = self.store.lane(quota.trigger);
                let has_one_loss = rows.next().is_some_and(|row| row.policy.max_lost() == 1);
                quota.starts = match bug {
                    Bug::StartsAll => quota.quota,
                    Bug::HoldsLastLoss if has_one_loss => 0,
                    _ => quota.starts,
                };
            }
        }
        if let (Bug::LooksBackIdle, Request::Exchange { claim, .. }) = (bug, &mut request) {
            for quota in claim {
                if self.store.lane(quota.trigger).any(|row| row.lease_until > self.store.now()) {
                    quota.look_back = Timestamp(i64::MAX);
                }
            }
        }
        match &mut request {
            Request::Exchange { settle, .. } => settle.retain_mut(|one| {
                let row = self.store.row(one.claim.delivery);
                if let (Bug::LossIsDeath, Verdict::Done { .. }, Some(row)) = (bug, &one.verdict, row)
                    && row.lost > 0
                {
                    one.verdict = Verdict::Dead {
                        reason: DeadReason::Lost,
                        attempts: row.attempt + row.lost,
                        fingerprint: String::new(),
                        failed: None,
                        disable_trigger: false,
                    };
                }
                let (attempt, allowed) = row.map_or((0, 0), |row| (row.attempt, row.policy.max_attempts()));
                let keeps = bug.change_verdict(&mut one.verdict, attempt, allowed);
                let is_deep = row.is_some_and(|row| row.handles_letter.is_some() && row.event.depth > MAX_DEPTH);
                if bug == Bug::HandlerDropped && is_deep {
                    one.verdict = Verdict::Dropped;
                }
                if let (Bug::ShutdownCounts, Some(row)) = (bug, row) {
                    count_release(row, &mut one.verdict);
                }
                if let (Bug::JitterSkewed, Verdict::Retry { delay, .. }, Some(row)) = (bug, &mut one.verdict, row) {
                    let (low, high) = row.policy.jitter_range(row.attempt);
                    if (low.0..=high.0).contains(&delay.0) && row.policy.max_age().is_none() {
                        delay.0 = low.0 + (high.0 - low.0) / 2 + (delay.0 - low.0) / 2;
                    }
                }
                keeps
            }),
            Request::Renew { .. } if bug == Bug::LostRenewal => return None,
            Request::Renew { held, .. } if bug == Bug::RowLeftOut && held.len() > 1 => _ = held.pop(),
            _ => {}
        }
        Some(request)
    }

    /// The input that a dispatcher with the bug receives.
    pub(crate) fn sabotaged_input(&self, of: Life, input: Input) -> Input {
        match (self.bug, input) {
            (Some(Bug::StaleTaken), Input::StoreAnswered { mut op, result }) => {
                op.incarnation = crate::world::incarnation(of.daemon, of.life);
                Input::StoreAnswered { op, result }
            }
            (
                Some(Bug::LostReply),
                Input::StoreAnswered { op, result: Ok(Reply::Exchange(ExchangeReply { claimed, .. })) },
            ) if claimed.len() > 1 && op.seq.is_multiple_of(7) => Input::Tick,
            (Some(Bug::SuspectsMixed), Input::StoreAnswered { op, result: Ok(Reply::Exchange(mut reply)) }) => {
                reply.claimed.iter_mut().for_each(|row| Arc::make_mut(row).lost = 0);
                Input::StoreAnswered { op, result: Ok(Reply::Exchange(reply)) }
            }
            (Some(Bug::DeniedRuns), Input::StoreAnswered { op, result: Ok(Reply::Exchange(mut reply)) }) => {
                reply.claimed.iter_mut().for_each(|row| Arc::make_mut(row).standing = Standing::Allowed);
                Input::StoreAnswered { op, result: Ok(Reply::Exchange(reply)) }
            }
            (Some(Bug::HangUpIgnored), Input::CallerGone { .. }) => Input::Tick,
            (Some(Bug::SleepsOn), Input::WakeUp { lanes, discover }) if lanes.len() == 1 => {
                Input::WakeUp { lanes: Vec::new(), discover }
            }
            (Some(Bug::AppsSplit), Input::SyncCalled { call }) => {
                let mut call = SyncCall::clone(&call);
                if let SyncTarget::Trigger { app, .. } = &mut call.target {
                    *app = AppName::new(format!("app-{}", call.inbox.seq)).expect("a valid name");
                }
                Input::SyncCalled { call: Arc::new(call) }
            }
            (Some(Bug::LostReceipt), Input::ReplyDelivered { .. }) => Input::Tick,
            (Some(Bug::InlineRowsUncounted), Input::InlineClaimInFlight { .. }) => {
                Input::InlineClaimInFlight { rows: 0 }
            }
            (Some(Bug::RefusalFails), Input::ExecutionEnded { op, outcome, start_wait }) => {
                let fails = |reason| Outcome::Failed(Failure::new(ExecError::Internal, reason));
                let outcome = if let Outcome::NotStarted { reason } = outcome { fails(reason) } else { outcome };
                Input::ExecutionEnded { op, outcome, start_wait }
            }
            (
                Some(Bug::BegunIsDeferred),
                Input::ExecutionEnded { op, outcome: Outcome::Failed(failure), start_wait },
            ) if failure.message == ONLY_ATTEMPT_FAILED => {
                Input::ExecutionEnded { op, outcome: Outcome::NotStarted { reason: failure.message }, start_wait }
            }
            (Some(Bug::WaitCounts), Input::ExecutionEnded { op, outcome, .. }) => {
                Input::ExecutionEnded { op, outcome, start_wait: Micros::ZERO }
            }
            (Some(Bug::AnswerIgnored), Input::StoreAnswered { op, result: Ok(Reply::Discover(_)) })
                if op.seq.is_multiple_of(7) =>
            {
                let op = tidegate_core::OpId { seq: op.seq + 1_000_000, ..op };
                Input::StoreAnswered { op, result: Err(StoreError::unknown("an answer to another request")) }
            }
            (_, input) => input,
        }
    }

    /// Moves each claimed row to a lane of its own, as the dispatcher sees it.
    pub(crate) fn split_lanes(&self, input: Input) -> Input {
        match (self.bug, input) {
            (Some(Bug::LanesSplit), Input::StoreAnswered { op, result: Ok(Reply::Exchange(mut reply)) }) => {
                for row in reply.claimed.iter_mut().filter(|row| row.reply_to.is_none()) {
                    let row = Arc::make_mut(row);
                    row.trigger_id.0 += LANES_APART * row.id.0;
                }
                Input::StoreAnswered { op, result: Ok(Reply::Exchange(reply)) }
            }
            (_, input) => input,
        }
    }

    /// Reverses [`Self::split_lanes`] in an output of the dispatcher.
    pub(crate) fn join_lanes(&self, output: Output) -> Output {
        if self.bug != Some(Bug::LanesSplit) {
            return output;
        }
        let joined = |delivery: Arc<Delivery>| {
            let trigger_id = TriggerId(delivery.trigger_id.0 % LANES_APART);
            Arc::new(Delivery { trigger_id, ..Delivery::clone(&delivery) })
        };
        match output {
            Output::Action(Action::Execute { op, delivery }) => {
                Output::Action(Action::Execute { op, delivery: joined(delivery) })
            }
            Output::Fact(Fact::ExecutionStarted { delivery, waited }) => {
                Output::Fact(Fact::ExecutionStarted { delivery: joined(delivery), waited })
            }
            Output::Fact(Fact::DeliverySettled { delivery, ending, run }) => {
                Output::Fact(Fact::DeliverySettled { delivery: joined(delivery), ending, run })
            }
            Output::Fact(Fact::EffectsConflicted { delivery, times }) => {
                Output::Fact(Fact::EffectsConflicted { delivery: joined(delivery), times })
            }
            output => output,
        }
    }

    pub(crate) fn sabotaged_wake(&self, wake_at: Option<Mono>, reason: IdleReason, now: Mono) -> Option<Mono> {
        match (self.bug, reason) {
            (Some(Bug::NeverRests), _) => Some(now),
            (Some(Bug::OversleepsCaller), IdleReason::SyncWait) => wake_at.map(|at| at.plus(Micros::from_secs(10))),
            (Some(Bug::OversleepsPoll), IdleReason::Poll) => wake_at.map(|at| at.plus(Micros::from_secs(2))),
            _ => wake_at,
        }
    }

    /// The view that a dispatcher with the bug shows.
    pub(crate) fn sabotaged_view(&self, view: View) -> View {
        let settling = if self.bug == Some(Bug::ShowsTooLittle) { 0 } else { view.settling };
        let inline_room = match self.bug {
            Some(Bug::RoomForMore) => view.permits,
            Some(Bug::RoomWhileDown) if view.store_failures > 0 && !view.shutting_down => {
                view.permits.saturating_sub(view.running).min(1)
            }
            _ => view.inline_room,
        };
        View { settling, inline_room, ..view }
    }

    /// The lanes that a dispatcher with the bug closes to inline claims.
    pub(crate) fn sabotaged_closed(&self, closed: Vec<TriggerId>) -> Vec<TriggerId> {
        if self.bug == Some(Bug::ClosesNothing) { Vec::new() } else { closed }
    }

    /// The reply that a caller receives.
    pub(crate) fn sabotaged_reply(&self, mut reply: SyncReply) -> SyncReply {
        if self.bug == Some(Bug::RepliesTooSoon) && reply.execution.is_some() && reply.result.is_err() {
            reply.result = Ok(None);
        }
        reply
    }
}
