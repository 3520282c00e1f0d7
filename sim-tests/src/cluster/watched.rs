//! The production dispatcher inside a wrapper, which shows every input and output to the checkers.
//! Planted bugs change them.

use super::referee::Referee;
use super::{Shared, lock};
use crate::checkers::{DriverEvent, InputKind, Life, Observation, STEPS_MAX};
use crate::plan::CrashPoint;
use crate::probes::Probe;
use crate::sabotage::Bug;
use std::collections::{BTreeSet, VecDeque};
use tidegate_core::{
    Action, Dispatcher, Disposition, Fact, Fate, IdleReason, InboxId, InlineRoom, Input, Mono, OpId, Output, View,
};
use tidegate_driver::Drivable;

/// The output of a life that has ended. Its node is killed before the loop continues.
const REST: Output = Output::Idle { wake_at: None, reason: IdleReason::Answers };
/// One call of so many arrives twice.
const CALLED_TWICE_ONE_OF: u64 = 20;

pub(super) struct WatchedDispatcher {
    dispatcher: Dispatcher,
    of: Life,
    referee: Shared,
    /// The daemon's time of the last input.
    now: Mono,
    /// Outputs since the last idle period.
    steps: u32,
    /// Inputs that arrive again with the first input after the next idle period.
    repeated_inputs: Vec<Input>,
    is_idle: bool,
    /// Callers without a reply.
    callers: BTreeSet<InboxId>,
    /// Actions that a planted bug has added.
    added_actions: VecDeque<Action>,
    /// Whether settlements were answered since the last idle period.
    has_settled: bool,
    /// Inputs so far, for planted bugs.
    inputs: u64,
    stops_early: bool,
}

impl WatchedDispatcher {
    pub(super) fn new(dispatcher: Dispatcher, of: Life, referee: &Shared) -> Self {
        Self {
            dispatcher,
            of,
            referee: Shared::clone(referee),
            now: Mono(0),
            steps: 0,
            repeated_inputs: Vec::new(),
            is_idle: false,
            callers: BTreeSet::new(),
            added_actions: VecDeque::new(),
            has_settled: false,
            inputs: 0,
            stops_early: false,
        }
    }

    /// Passes an input that the driver has handed over.
    fn pass_first(&mut self, world: &mut Referee, input: Input) -> Disposition {
        if let Some((op, fate)) = answered(&input) {
            world.report(self.of, DriverEvent::AnswerHandled { op, fate });
        }
        self.pass(world, input)
    }

    fn pass(&mut self, world: &mut Referee, input: Input) -> Disposition {
        let of = self.of;
        world.note(&(of.daemon, self.now, &input));
        match &input {
            Input::WakeUp { lanes, .. } => world.observe(&Observation::WokenUp { of, lanes }),
            Input::InlineClaim { claimed, .. } => world.observe(&Observation::InlineClaim { of, claimed }),
            Input::InlineClaimInFlight { rows } => {
                world.observe(&Observation::InlineClaimInFlight { of, rows: *rows });
            }
            _ => {}
        }
        match &input {
            Input::SyncCalled { call } => _ = self.callers.insert(call.inbox),
            Input::CallerGone { inbox } => _ = self.callers.remove(inbox),
            _ => {}
        }
        if let Input::ExecutionEnded { op, outcome, .. } = &input {
            world.end_execution(of.daemon, *op, Some(outcome));
            if world.crashes_at(of.daemon, CrashPoint::Ended) {
                return Disposition::Stale;
            }
        }
        let received = InputKind::of(&input);
        let input = world.saboteur().sabotaged_input(of, input);
        if let Input::GateChanged { limits } = &input {
            world.observe(&Observation::Configured { of, gate: *limits, batch_max: None });
        }
        let answer = if let Input::StoreAnswered { op, result } = &input { Some((*op, result.clone())) } else { None };
        let input = world.saboteur().split_lanes(input);
        let kind = received.after_sabotage(&input);
        let disposition = self.dispatcher.handle(self.now, input);
        world.note(&disposition);
        let accepted = disposition == Disposition::Accepted;
        let now = self.now;
        world.observe(&Observation::InputHandled { of, input: kind, now, disposition, for_another_life: false });
        if let Some((op, result)) = answer {
            self.has_settled |= accepted && world.has_settled(of.daemon, op);
            world.observe(&Observation::StoreAnswered { of, op, result: &result, accepted });
        }
        disposition
    }

    /// Inputs that arrive twice: some calls, and the answers that a fault repeats.
    fn repeat(&mut self, world: &mut Referee, input: &Input) {
        let is_repeated = match input {
            Input::SyncCalled { call } => call.inbox.seq % CALLED_TWICE_ONE_OF == 0,
            Input::StoreAnswered { op, .. } => world.daemons[self.of.daemon].ops_answered_twice.remove(op),
            _ => false,
        };
        if is_repeated {
            self.repeated_inputs.push(input.clone());
        }
    }

    /// Observes an action. `None` if the daemon dies, or if a planted bug loses the action.
    fn act(&mut self, world: &mut Referee, action: Action) -> Option<Action> {
        let (of, daemon) = (self.of, self.of.daemon);
        let (op, action) = match action {
            Action::CallStore { op, request } => {
                let request = world.daemons[daemon].version.adapt(request);
                world.observe(&Observation::StoreCalled { of, op: Some(op), request: &request });
                world.count_call(daemon);
                if world.crashes_at(daemon, CrashPoint::Asking) {
                    return None;
                }
                let request = world.saboteur().sabotaged_request(request)?;
                world.expect_store_call(daemon, op, request.clone());
                (op, Action::CallStore { op, request })
            }
            Action::Execute { op, delivery } => {
                let claim = delivery.claim();
                world.tell(|| {
                    let (name, attempt) = (&delivery.trigger_name, delivery.attempt);
                    format!("daemon {daemon}: executes {claim}, {name}, attempt {attempt}")
                });
                world.observe(&Observation::ExecutionStarted { of, op, delivery: &delivery });
                world.expect_execution(daemon, op, claim);
                if world.crashes_at(daemon, CrashPoint::Starting) {
                    return None;
                }
                (op, Action::Execute { op, delivery })
            }
            Action::Reply { op, inbox, reply } => {
                self.callers.remove(&inbox);
                let reply = world.saboteur().sabotaged_reply(reply);
                world.observe(&Observation::ReplySent { of, inbox });
                world.expect_reply(daemon, op, inbox);
                (op, Action::Reply { op, inbox, reply })
            }
            Action::Cancel { op } => {
                let is_shutdown = self.dispatcher.view().shutting_down;
                world.probes.sometimes(Probe::ShutDownReleased, is_shutdown);
                world.end_execution(daemon, op, None);
                world.report(of, DriverEvent::Cancelled(op));
                return Some(Action::Cancel { op });
            }
        };
        let is_execution = matches!(action, Action::Execute { .. });
        world.report(of, DriverEvent::ActionReturned { op, is_execution });
        Some(action)
    }

    fn report_fact(&self, world: &mut Referee, fact: &Fact) {
        let (of, bug) = (self.of, world.bug);
        if bug.is_some_and(|bug| bug.hides(fact)) {
            return;
        }
        if let Fact::SettlementFenced { delivery, .. } = fact {
            world.tell(|| format!("daemon {}: {} is fenced", of.daemon, delivery.claim()));
        }
        world.observe(&Observation::Fact { of, fact });
        if let Some(false_fact) = bug.and_then(|bug| bug.adds_fact(fact)) {
            world.observe(&Observation::Fact { of, fact: &false_fact });
        }
    }

    /// Observes an idle period. Returns the time until which the loop may wait.
    fn become_idle(&mut self, world: &mut Referee, wake_at: Option<Mono>, reason: IdleReason) -> Option<Mono> {
        let (of, now) = (self.of, self.now);
        let wake_at = world.saboteur().sabotaged_wake(wake_at, reason, now);
        let view = world.saboteur().sabotaged_view(self.dispatcher.view());
        let steps = std::mem::take(&mut self.steps);
        self.is_idle = true;
        world.observe(&Observation::Idle { of, view, now, wake_at, steps });
        if std::mem::take(&mut self.has_settled) {
            world.crashes_at(of.daemon, CrashPoint::Settled);
        }
        wake_at
    }
}

/// The action that this input answers, and the fate of a failed store call.
fn answered(input: &Input) -> Option<(OpId, Option<Fate>)> {
    match input {
        Input::StoreAnswered { op, result } => Some((*op, result.as_ref().err().map(|error| error.fate))),
        Input::ExecutionEnded { op, .. } | Input::ReplyDelivered { op, .. } => Some((*op, None)),
        _ => None,
    }
}

impl Drivable for WatchedDispatcher {
    fn handle(&mut self, now: Mono, input: Input) -> Disposition {
        let referee = Shared::clone(&self.referee);
        let mut world = lock(&referee);
        if !world.is_current(self.of) {
            return Disposition::Stale;
        }
        self.now = now;
        self.inputs += 1;
        if std::mem::take(&mut self.is_idle) {
            for input in std::mem::take(&mut self.repeated_inputs) {
                let waits =
                    |input: &Input| !matches!(input, Input::SyncCalled { call } if !self.callers.contains(&call.inbox));
                if waits(&input) {
                    self.pass(&mut world, input);
                }
            }
        }
        self.repeat(&mut world, &input);
        let Some(input) = world.bug.map_or(Some(input.clone()), |bug| bug.link_input(self.inputs, input)) else {
            return Disposition::Accepted;
        };
        self.stops_early |= world.bug == Some(Bug::StopsEarly) && input == Input::ShutdownRequested;
        let disposition = self.pass_first(&mut world, input.clone());
        if world.bug == Some(Bug::AnswerDoubled) && matches!(input, Input::ExecutionEnded { .. }) {
            self.pass_first(&mut world, input);
        }
        disposition
    }

    fn poll(&mut self) -> Output {
        let referee = Shared::clone(&self.referee);
        let mut world = lock(&referee);
        loop {
            if !world.is_current(self.of) || self.steps >= STEPS_MAX {
                return REST;
            }
            if self.stops_early {
                return Output::Stopped;
            }
            if let Some(action) = self.added_actions.pop_front() {
                return Output::Action(action);
            }
            self.steps += 1;
            let has_callers = !self.callers.is_empty();
            let stops = world.bug.is_some_and(|bug| bug.stops(&self.dispatcher.view(), has_callers));
            let output = if stops { Output::Stopped } else { self.dispatcher.poll() };
            world.note(&output);
            let output = world.saboteur().join_lanes(output);
            match output {
                Output::Action(action) => {
                    let Some(action) = self.act(&mut world, action) else { continue };
                    let Some(bug) = world.bug else { return Output::Action(action) };
                    self.added_actions.extend(bug.link_actions(action, &world.running(self.of.daemon)));
                }
                Output::Fact(fact) => {
                    self.report_fact(&mut world, &fact);
                    return Output::Fact(fact);
                }
                Output::Idle { wake_at, reason } => {
                    let wake_at = self.become_idle(&mut world, wake_at, reason);
                    let wake_at = world.bug.map_or(wake_at, |bug| bug.link_timer(wake_at));
                    return Output::Idle { wake_at, reason };
                }
                Output::Stopped => {
                    world.tell(|| format!("daemon {}: has stopped", self.of.daemon));
                    world.observe(&Observation::Stopped { of: self.of, now: self.now });
                    return Output::Stopped;
                }
            }
            if self.steps >= STEPS_MAX {
                let (of, now, view, steps) = (self.of, self.now, self.dispatcher.view(), self.steps);
                world.observe(&Observation::Idle { of, view, now, wake_at: None, steps });
            }
        }
    }

    fn view(&self) -> View {
        lock(&self.referee).saboteur().sabotaged_view(self.dispatcher.view())
    }

    fn inline_room(&self) -> InlineRoom {
        let world = lock(&self.referee);
        let InlineRoom { closed_lanes, .. } = self.dispatcher.inline_room();
        InlineRoom {
            rows: world.saboteur().sabotaged_view(self.dispatcher.view()).inline_room,
            closed_lanes: world.saboteur().sabotaged_closed(closed_lanes),
        }
    }
}
