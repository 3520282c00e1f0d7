//! Daemons: the inputs of a dispatcher, and the execution of its outputs.

use super::clock::Clock;
use super::{Event, World};
use crate::app;
use crate::checkers::{InputKind, Life, Observation, STEPS_MAX, Violation};
use crate::plan::{CallFault, CrashPoint, HandlerFault, Settings, StoreFault, Version};
use crate::probes::Probe;
use crate::sabotage::{Bug, end_claims};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidegate_core::{
    Action, Boot, Config, ConfigSpec, Dispatcher, Disposition, Fact, IdleReason, InboxId, Incarnation, Input, Micros,
    Mono, OpId, Outcome, Output, RngKey, TriggerId, View,
};

/// A daemon and its current life.
pub(super) struct Daemon {
    dispatcher: Dispatcher,
    pub(super) life: u64,
    pub(super) clock: Clock,
    pub(super) is_alive: bool,
    pub(super) paused_until: u64,
    /// The settings of the next lives.
    pub(super) settings: Settings,
    /// The version of the current life.
    pub(super) version: Version,
    /// The faults of the next store calls.
    pub(super) store_faults: VecDeque<StoreFault>,
    /// The faults of particular store calls, by the number of the call.
    pub(super) call_faults: BTreeMap<u64, CallFault>,
    /// The number of store calls in all lives.
    pub(super) calls: u64,
    /// The faults of the next executions.
    pub(super) handler_faults: VecDeque<HandlerFault>,
    /// The time until which the executor starts no handlers.
    pub(super) full_until: u64,
    /// The point of the next crash, and the downtime after it.
    pub(super) next_crash: Option<(CrashPoint, u64)>,
    pub(super) cut_until: u64,
    /// True if the cut loses answers, false if it loses requests.
    pub(super) cut_answers: bool,
    pub(super) deaf_until: u64,
    pub(super) lease_for: Micros,
    /// The time until which an inline claim for this daemon is in flight.
    pub(super) inline_claim_until: u64,
    /// The most rows of that claim, until its rows arrive.
    pub(super) inline_rows: u32,
    /// The time of the timer that counts; earlier timers are ignored.
    tick_at: u64,
    running: BTreeSet<OpId>,
    /// Callers that wait for a reply of this life.
    pub(super) waiting: BTreeSet<InboxId>,
    pub(super) callers: u64,
}

impl Daemon {
    /// A daemon before its first life.
    pub(super) fn before_first_life(settings: Settings) -> Self {
        Self {
            dispatcher: Dispatcher::new(Config::default(), boot(0, 0, 0), Mono(0)),
            life: 0,
            clock: Clock::starting(0),
            is_alive: false,
            paused_until: 0,
            settings,
            version: settings.version,
            store_faults: VecDeque::new(),
            call_faults: BTreeMap::new(),
            calls: 0,
            handler_faults: VecDeque::new(),
            full_until: 0,
            next_crash: None,
            cut_until: 0,
            cut_answers: false,
            deaf_until: 0,
            lease_for: Micros::ZERO,
            inline_claim_until: 0,
            inline_rows: 0,
            tick_at: u64::MAX,
            running: BTreeSet::new(),
            waiting: BTreeSet::new(),
            callers: 0,
        }
    }

    pub(super) fn view(&self) -> View {
        self.dispatcher.view()
    }

    pub(super) fn closed_lanes(&self) -> Vec<TriggerId> {
        self.dispatcher.inline_room().closed_lanes
    }

    /// True if this daemon could start an execution for a lane that has none.
    pub(super) fn has_room(&self) -> bool {
        let view = self.view();
        self.is_alive && !view.shutting_down && view.running == 0 && view.queued == 0
    }
}

/// The incarnation of a life.
pub(crate) fn incarnation(daemon: usize, life: u64) -> Incarnation {
    Incarnation(uuid::Uuid::from_u128((daemon as u128 + 1) << 64 | u128::from(life)))
}

/// The complete configuration for a plan's settings.
pub(crate) fn config(Settings { gate, lease_ms, batch_max, .. }: Settings) -> Config {
    let spec = ConfigSpec {
        gate,
        lease_ms,
        batch_max,
        queue_wait_ms_max: app::QUEUE_WAIT.as_millis(),
        sync_wait_ms_max: app::SYNC_WAIT.as_millis(),
        sync_queue_max: app::SYNC_QUEUE_MAX,
        overrun_ms: 500,
        shutdown_grace_ms: app::SHUTDOWN_GRACE_MS,
        max_trigger_depth: app::MAX_DEPTH,
        ..ConfigSpec::default()
    };
    Config::try_from(spec).expect("plans are within the bounds")
}

fn boot(seed: u64, daemon: usize, life: u64) -> Boot {
    let rng_key = RngKey(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ life << 8 ^ daemon as u64);
    Boot { incarnation: incarnation(daemon, life), rng_key }
}

impl World {
    pub(super) fn life(&self, daemon: usize) -> Life {
        Life { daemon, life: self.daemons[daemon].life }
    }

    pub(super) fn is_away(&self, daemon: usize) -> bool {
        self.daemons[daemon].paused_until > self.now
    }

    /// Records that a fault affects a daemon until `until`.
    pub(super) fn trouble(&mut self, daemon: usize, until: u64) {
        let trouble = &mut self.trouble[daemon];
        trouble.until = trouble.until.max(until);
    }

    pub(super) fn begin(&mut self, daemon: usize) -> Result<(), Violation> {
        if self.daemons[daemon].is_alive {
            return Ok(());
        }
        let settings = self.daemons[daemon].settings;
        let config = match self.bug {
            None => config(settings),
            Some(bug) => {
                let mut spec = config(settings).into();
                bug.configure(&mut spec);
                Config::try_from(spec).expect("a planted bug stays within the bounds")
            }
        };
        let life = self.daemons[daemon].life + 1;
        let boot = boot(self.plan.seed, daemon, life);
        let daemon_state = &mut self.daemons[daemon];
        daemon_state.dispatcher = Dispatcher::new(config, boot, Mono(0));
        daemon_state.life = life;
        daemon_state.version = settings.version;
        daemon_state.lease_for = config.lease_for();
        daemon_state.inline_claim_until = 0;
        daemon_state.inline_rows = 0;
        daemon_state.clock = Clock::starting(self.now);
        daemon_state.is_alive = true;
        daemon_state.paused_until = 0;
        daemon_state.tick_at = u64::MAX;
        self.trouble[daemon].life = life;
        self.trouble[daemon].is_alive = true;
        self.trace.tell(|| format!("daemon {daemon}: life {life} begins"));
        let leases: BTreeSet<u64> = self.daemons.iter().map(|daemon| daemon.settings.lease_ms).collect();
        self.probes.sometimes(Probe::RolledOut, leases.len() > 1);
        let has_another = |other: &Daemon| other.is_alive && other.version != settings.version;
        self.probes.sometimes(Probe::TwoVersions, self.daemons.iter().any(has_another));
        self.succeed(daemon)?;
        let batch_max = Some(settings.batch_max);
        self.observe(&Observation::Configured { of: self.life(daemon), gate: settings.gate, batch_max })?;
        self.reach(daemon, life, Input::Tick)
    }

    /// The store ends the claims of the earlier lives of a daemon. It does not if it cannot be
    /// reached, or if the daemon has another name now.
    fn succeed(&mut self, daemon: usize) -> Result<(), Violation> {
        let one = &self.daemons[daemon];
        let is_reached = self.outage_until <= self.now && one.cut_until <= self.now;
        let has_name = one.version == Version::Current && !(self.plan.seed + one.life).is_multiple_of(3);
        let claims = self.checkers.claims_of(daemon);
        if !is_reached || !has_name || claims.is_empty() {
            return Ok(());
        }
        let has_ended = end_claims(self.bug, &mut self.store, &claims);
        self.probes.sometimes(Probe::Succeeded, has_ended);
        self.observe(&Observation::ClaimsEnded { claims: &claims })
    }

    /// Ends a process, with its executions and callers.
    pub(super) fn die(&mut self, daemon: usize) -> Result<(), Violation> {
        let of = self.life(daemon);
        let dead_daemon = &mut self.daemons[daemon];
        dead_daemon.is_alive = false;
        dead_daemon.waiting.clear();
        dead_daemon.next_crash = None;
        self.trouble[daemon].is_alive = false;
        for op in std::mem::take(&mut self.daemons[daemon].running) {
            self.end(op, None)?;
        }
        self.observe(&Observation::LifeEnded { of })
    }

    /// Crashes the daemon if it is to die at this point; true if it did.
    pub(super) fn crashes_at(&mut self, daemon: usize, point: CrashPoint) -> Result<bool, Violation> {
        let Some((_, down)) = self.daemons[daemon].next_crash.filter(|(next_crash, _)| *next_crash == point) else {
            return Ok(false);
        };
        if self.now >= self.plan.heal_at {
            return Ok(false);
        }
        self.crash(daemon, point, down)?;
        Ok(true)
    }

    pub(super) fn crash(&mut self, daemon: usize, point: CrashPoint, down: u64) -> Result<(), Violation> {
        self.probes.sometimes(point.probe(), true);
        self.trace.tell(|| format!("daemon {daemon}: crashes ({point:?})"));
        self.die(daemon)?;
        let at = self.until(down);
        self.at(at, Event::Begin { daemon });
        Ok(())
    }

    pub(super) fn die_running(&mut self, daemon: usize, op: OpId, down: u64) -> Result<(), Violation> {
        let runs = self.daemons[daemon].running.contains(&op);
        if runs { self.crash(daemon, CrashPoint::Running, down) } else { Ok(()) }
    }

    pub(super) fn tick(&mut self, daemon: usize, life: u64) -> Result<(), Violation> {
        let is_current_timer = self.daemons[daemon].life == life && self.daemons[daemon].tick_at == self.now;
        if !is_current_timer {
            return Ok(());
        }
        self.daemons[daemon].tick_at = u64::MAX;
        self.reach(daemon, life, Input::Tick)
    }

    pub(super) fn reach(&mut self, daemon: usize, life: u64, input: Input) -> Result<(), Violation> {
        if !self.daemons[daemon].is_alive {
            return Ok(());
        }
        if self.is_away(daemon) {
            let until = self.daemons[daemon].paused_until;
            self.at(until, Event::Reach { daemon, life, input });
            return Ok(());
        }
        let is_of_another_life = self.daemons[daemon].life != life;
        let is_answer = matches!(input, Input::StoreAnswered { .. } | Input::ReplyDelivered { .. });
        if is_of_another_life && !is_answer {
            return Ok(());
        }
        let now = self.daemons[daemon].clock.read(self.now);
        self.trace.note(&(daemon, now, &input));
        let of = self.life(daemon);
        if let Input::WakeUp { lanes, .. } = &input {
            self.observe(&Observation::WokenUp { of, lanes })?;
        }
        if let Input::InlineClaim { claimed, .. } = &input {
            self.daemons[daemon].inline_rows = 0;
            self.observe(&Observation::InlineClaim { of, claimed })?;
        }
        let received = InputKind::of(&input);
        let input = self.saboteur().sabotaged_input(of, input);
        if let Input::GateChanged { limits } = &input {
            self.observe(&Observation::Configured { of, gate: *limits, batch_max: None })?;
        }
        let answer = if let Input::StoreAnswered { op, result } = &input { Some((*op, result.clone())) } else { None };
        let input = self.saboteur().split_lanes(input);
        let kind = received.after_sabotage(&input);
        self.count_inline_rows(daemon, now);
        let disposition = self.daemons[daemon].dispatcher.handle(now, input);
        self.trace.note(&disposition);
        let accepted = disposition == Disposition::Accepted;
        self.probes.sometimes(Probe::AnsweredTheDead, is_of_another_life);
        self.observe(&Observation::InputHandled {
            of,
            input: kind,
            now,
            disposition,
            for_another_life: is_of_another_life,
        })?;
        let mut has_settled = false;
        if let Some((op, result)) = answer {
            has_settled = accepted && self.is_settlement(op);
            self.observe(&Observation::StoreAnswered { of, op, result: &result, accepted })?;
        }
        if self.collects_inputs {
            return Ok(());
        }
        self.drain(daemon)?;
        if has_settled && self.daemons[daemon].is_alive {
            self.crashes_at(daemon, CrashPoint::Settled)?;
        }
        Ok(())
    }

    /// Tells a dispatcher how many rows the inline claim in flight may return.
    fn count_inline_rows(&mut self, daemon: usize, now: Mono) {
        let is_forgotten = self.bug == Some(Bug::InlineRowsUncounted);
        let daemon = &mut self.daemons[daemon];
        let rows = if is_forgotten { 0 } else { daemon.inline_rows };
        if rows != daemon.dispatcher.view().inline_rows {
            daemon.dispatcher.handle(now, Input::InlineClaimInFlight { rows });
        }
    }

    pub(super) fn drain(&mut self, daemon: usize) -> Result<(), Violation> {
        let of = self.life(daemon);
        let mut steps = 0;
        while self.daemons[daemon].is_alive && self.daemons[daemon].life == of.life {
            steps += 1;
            let has_callers = !self.daemons[daemon].waiting.is_empty();
            if self.bug.is_some_and(|bug| bug.stops(&self.daemons[daemon].view(), has_callers)) {
                return self.handle_stop(daemon);
            }
            let output = self.daemons[daemon].dispatcher.poll();
            self.trace.note(&output);
            let output = self.saboteur().join_lanes(output);
            match output {
                Output::Action(action) => self.perform(daemon, action)?,
                Output::Fact(fact) => self.report_fact(of, &fact)?,
                Output::Idle { wake_at, reason } => return self.become_idle(of, (wake_at, reason), steps),
                Output::Stopped => return self.handle_stop(daemon),
            }
            if steps >= STEPS_MAX {
                return self.become_idle(of, (None, IdleReason::Answers), steps);
            }
        }
        Ok(())
    }

    fn become_idle(&mut self, of: Life, wait: (Option<Mono>, IdleReason), steps: u32) -> Result<(), Violation> {
        let Life { daemon, life } = of;
        let (wake_at, reason) = wait;
        let now = self.daemons[daemon].clock.read(self.now);
        let view = self.saboteur().sabotaged_view(self.daemons[daemon].view());
        let reported = self.saboteur().sabotaged_wake(wake_at, reason, now);
        self.observe(&Observation::Idle { of, view, now, wake_at: reported, steps })?;
        let when = wake_at.and_then(|at| self.daemons[daemon].clock.when(at, self.now));
        if let Some(when) = when.filter(|when| *when != self.daemons[daemon].tick_at) {
            self.daemons[daemon].tick_at = when;
            self.at(when, Event::Tick { daemon, life });
        }
        Ok(())
    }

    fn handle_stop(&mut self, daemon: usize) -> Result<(), Violation> {
        self.trace.tell(|| format!("daemon {daemon}: has stopped"));
        let now = self.daemons[daemon].clock.read(self.now);
        self.observe(&Observation::Stopped { of: self.life(daemon), now })?;
        self.die(daemon)?;
        let down = self.draw.between(1_000, 500_000);
        self.at(self.now + down, Event::Begin { daemon });
        Ok(())
    }

    fn report_fact(&mut self, of: Life, fact: &Fact) -> Result<(), Violation> {
        if self.bug.is_some_and(|bug| bug.hides(fact)) {
            return Ok(());
        }
        if let Fact::SettlementFenced { delivery, .. } = fact {
            let claim = delivery.claim();
            self.trace.tell(|| format!("daemon {}: {claim} is fenced", of.daemon));
        }
        if let Fact::ExecutionStarted { delivery, waited } = fact
            && delivery.reply_to.is_none()
            && self.is_well()
        {
            self.cost.starts.add(waited.0);
        }
        self.cost.reported(fact);
        self.observe(&Observation::Fact { of, fact })?;
        match self.bug.and_then(|bug| bug.adds_fact(fact)) {
            Some(false_fact) => self.observe(&Observation::Fact { of, fact: &false_fact }),
            None => Ok(()),
        }
    }

    fn perform(&mut self, daemon: usize, action: Action) -> Result<(), Violation> {
        match action {
            Action::CallStore { op, request } => self.call_store(daemon, op, request),
            Action::Execute { op, delivery } => self.execute(daemon, op, &delivery),
            Action::Cancel { op } => {
                let is_shutdown = self.daemons[daemon].view().shutting_down;
                self.cost.count("cancelled executions", 1);
                self.probes.sometimes(Probe::ShutDownReleased, is_shutdown);
                self.daemons[daemon].running.remove(&op);
                self.end(op, None)
            }
            Action::Reply { op, inbox, reply } => {
                let (of, reply) = (self.life(daemon), self.saboteur().sabotaged_reply(reply));
                let delivered = self.daemons[daemon].waiting.remove(&inbox);
                let is_ok = reply.result.is_ok();
                let caller = inbox.seq;
                self.trace.tell(|| format!("daemon {daemon}: replies to caller {caller}: {is_ok}, {delivered}"));
                let times = if self.bug.is_some_and(super::Bug::replies_twice) { 2 } else { 1 };
                for _ in 0..times {
                    self.observe(&Observation::ReplySent { of, inbox })?;
                    self.observe(&Observation::ReplyHandedOver { inbox, reply: &reply, delivered })?;
                }
                let (life, after) = (self.daemons[daemon].life, self.latency());
                let input = Input::ReplyDelivered { op, delivered };
                self.at(self.now + after, Event::Reach { daemon, life, input });
                Ok(())
            }
        }
    }

    pub(super) fn starts(&mut self, daemon: usize, op: OpId) {
        self.daemons[daemon].running.insert(op);
    }

    /// Ends an execution. Without an outcome, the execution was dropped.
    fn end(&mut self, op: OpId, outcome: Option<&Outcome>) -> Result<(), Violation> {
        match self.executions.remove(&op) {
            Some(claim) => self.observe(&Observation::ExecutionEnded { op, claim, outcome }),
            None => Ok(()),
        }
    }

    /// Observes that a handler begins, unless its execution was cancelled.
    pub(super) fn handler_begins(&mut self, daemon: usize, life: u64, op: OpId) -> Result<(), Violation> {
        if self.daemons[daemon].life != life || !self.daemons[daemon].running.contains(&op) {
            return Ok(());
        }
        if self.is_away(daemon) {
            let until = self.daemons[daemon].paused_until;
            self.at(until, Event::HandlerBegins { daemon, life, op });
            return Ok(());
        }
        self.observe(&Observation::HandlerBegan { op })
    }

    pub(super) fn finish(
        &mut self,
        daemon: usize,
        life: u64,
        op: OpId,
        outcome: Outcome,
        start_wait: Micros,
    ) -> Result<(), Violation> {
        if self.daemons[daemon].life != life || !self.daemons[daemon].running.contains(&op) {
            return Ok(());
        }
        if self.is_away(daemon) {
            let until = self.daemons[daemon].paused_until;
            self.at(until, Event::Finish { daemon, life, op, outcome, start_wait });
            return Ok(());
        }
        self.daemons[daemon].running.remove(&op);
        self.end(op, Some(&outcome))?;
        if self.crashes_at(daemon, CrashPoint::Ended)? {
            return Ok(());
        }
        self.reach(daemon, life, Input::ExecutionEnded { op, outcome, start_wait })
    }
}
