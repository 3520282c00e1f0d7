//! The dispatcher: the state machine behind every claim, execution and settlement.
//!
//! Who is authoritative: the store, for every row. The dispatcher holds claims, copies of rows that it may execute
//! until their lease runs out, and says what becomes of each; the store checks that it still may. So a dispatcher that
//! is paused, cut off or killed at any point costs latency and attempts, never a delivery, and never an effect twice.

mod calls;
mod claims;
mod clock;
mod exchange;
mod executions;
mod health;
mod prefetch;
mod replies;
mod shutdown;
mod ticks;
mod upkeep;

use crate::config::Config;
use crate::gate::{Caller, ExecutionGate};
use crate::io::{Action, Boot, Disposition, Fact, IdleReason, Input, Output};
use crate::lanes::{Budget, Lanes};
use crate::names::{OpId, TriggerId};
use crate::store::{Reply, Request, StoreError};
use crate::time::{Micros, Mono};
use calls::Calls;
use claims::Claims;
use clock::StoreClock;
use exchange::{EXCHANGES_MAX, Exchanges, Settling};
use executions::Executions;
use health::StoreHealth;
use prefetch::Prefetch;
use replies::Replies;
use shutdown::Shutdown;
use std::collections::VecDeque;
use upkeep::Upkeep;

/// The state machine. See [`crate::io`] for what goes in and comes out, and for the one rule of driving it.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    config: Config,
    boot: Boot,
    now: Mono,
    seq: u64,
    outputs: VecDeque<Output>,
    clock: StoreClock,
    gate: ExecutionGate,
    lanes: Lanes,
    claims: Claims,
    executions: Executions,
    settling: Settling,
    exchanges: Exchanges,
    upkeep: Upkeep,
    ticking: Option<u64>,
    health: StoreHealth,
    prefetch: Prefetch,
    calls: Calls,
    replies: Replies,
    shutdown: Option<Shutdown>,
    stale: u64,
}

/// With more closed lanes there is no room: each emission would have to know them all.
const CLOSED_LANES_MAX: usize = 64;

/// What a dispatcher holds, for checkers and for people who look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Executions that run.
    pub running: u32,
    /// How many may.
    pub permits: u32,
    /// Of these, how many are for sync callers alone.
    pub sync_reserve: u32,
    /// Claimed rows that wait for a permit.
    pub queued: u32,
    /// Sync calls that wait for a permit.
    pub calls_waiting: u32,
    /// Replies that are being handed over.
    pub replying: u32,
    /// Settlements that were not answered yet.
    pub settling: u32,
    /// Claims that are held in all.
    pub held: u32,
    /// Lanes that are known.
    pub lanes: u32,
    /// How many rows an emission of the same process may claim for it: what could start at once. They must not be of
    /// [`Dispatcher::closed_lanes`].
    pub inline_room: u32,
    /// Store failures in a row.
    pub store_failures: u32,
    /// Answers that nobody waited for.
    pub stale: u64,
    /// Whether a shutdown was asked for.
    pub shutting_down: bool,
    /// Whether it is complete.
    pub stopped: bool,
}

impl Dispatcher {
    /// A dispatcher that holds nothing. It looks for work at its first poll.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Mono) -> Self {
        Self {
            config,
            boot,
            now,
            seq: 0,
            outputs: VecDeque::new(),
            clock: StoreClock::default(),
            gate: ExecutionGate::new(config.gate()),
            lanes: Lanes::default(),
            claims: Claims::default(),
            executions: Executions::default(),
            settling: Settling::default(),
            exchanges: Exchanges::default(),
            upkeep: Upkeep::new(now, config.renew_every()),
            ticking: None,
            health: StoreHealth::default(),
            prefetch: Prefetch::new(now),
            calls: Calls::default(),
            replies: Replies::default(),
            shutdown: None,
            stale: 0,
        }
    }

    /// Takes in what happened. `now` never goes back; an earlier one counts as the last.
    pub fn handle(&mut self, now: Mono, input: Input) -> Disposition {
        self.now = self.now.max(now);
        let disposition = match input {
            Input::Tick => Disposition::Accepted,
            Input::WakeUp { lanes, discover } => {
                lanes.into_iter().for_each(|lane| self.lanes.wake(lane));
                if discover {
                    self.upkeep.discover_soon();
                }
                Disposition::Accepted
            }
            Input::InlineClaim { claimed, begun_at } => {
                self.carried(claimed, begun_at.min(self.now));
                Disposition::Accepted
            }
            Input::StoreAnswered { op, result } => self.store_answered(op, result),
            Input::ExecutionEnded { op, outcome } => self.execution_ended(op, outcome),
            Input::SyncCalled { call } => self.sync_called(call),
            Input::CallerGone { inbox } => self.caller_gone(inbox),
            Input::ReplyDelivered { op, delivered } => self.reply_delivered(op, delivered),
            Input::GateChanged { limits } => self.change_gate(limits),
            Input::ShutdownRequested => {
                self.request_shutdown();
                Disposition::Accepted
            }
        };
        if disposition == Disposition::Stale {
            self.stale = self.stale.saturating_add(1);
        }
        disposition
    }

    /// What to do next. Call it until it says `Idle` or `Stopped`.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.plan();
        }
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.is_stopped() => Output::Stopped,
            None => self.idle(),
        }
    }

    /// What it holds.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            running: self.gate.running(),
            permits: self.gate.limits().permits,
            sync_reserve: self.gate.limits().sync_reserve,
            queued: self.lanes.queued(),
            calls_waiting: self.calls.waiting(),
            replying: self.replies.len(),
            settling: self.settling.len() + self.exchanges.settlements(),
            held: self.claims.len(),
            lanes: self.lanes.len() as u32,
            inline_room: self.room(),
            store_failures: self.health.failures(),
            stale: self.stale,
            shutting_down: self.shutdown.is_some(),
            stopped: self.is_stopped(),
        }
    }

    /// Lanes whose new rows would wait: for older ones that it knows of, or because their lane runs as much as it may.
    #[must_use]
    pub fn closed_lanes(&self) -> Vec<TriggerId> {
        let lanes = self.lanes.room(self.clock.now(self.now), self.budget().share);
        lanes.filter(|(_, room)| *room == 0).map(|(lane, _)| lane).collect()
    }

    /// Everything that may be done now, in an order that keeps permits busy: free what overran, start what waits, then
    /// settle and claim, then look after leases and lanes.
    fn plan(&mut self) {
        if self.is_stopped() {
            return;
        }
        self.advance_shutdown();
        self.write_off_overruns();
        self.defer_what_waited_too_long();
        self.admit_calls();
        self.start_queued();
        if self.health.may_call(self.now) {
            self.exchange();
            self.renew();
            self.discover();
        }
    }

    fn store_answered(&mut self, op: OpId, result: Result<Reply, StoreError>) -> Disposition {
        if op.incarnation != self.boot.incarnation {
            return Disposition::Stale;
        }
        if self.exchanges.is_under_way(op.seq) {
            self.exchange_answered(op.seq, result)
        } else if self.calls.is_beginning(op.seq) {
            self.begin_answered(result)
        } else if self.upkeep.is_renewing(op.seq) {
            self.renew_answered(result)
        } else if self.upkeep.is_discovering(op.seq) {
            self.discover_answered(result)
        } else if self.ticking == Some(op.seq) {
            self.tick_answered(result)
        } else {
            Disposition::Stale
        }
    }

    fn call_store(&mut self, request: Request) -> u64 {
        let op = self.next_op();
        self.act(Action::CallStore { op, request });
        op.seq
    }

    fn next_op(&mut self) -> OpId {
        self.seq = self.seq.saturating_add(1);
        OpId { incarnation: self.boot.incarnation, seq: self.seq }
    }

    fn act(&mut self, action: Action) {
        self.outputs.push_back(Output::Action(action));
    }

    fn tell(&mut self, fact: Fact) {
        self.outputs.push_back(Output::Fact(fact));
    }

    fn change_gate(&mut self, limits: crate::config::GateLimits) -> Disposition {
        if limits.check().is_err() {
            return Disposition::Rejected;
        }
        self.gate.change(limits);
        Disposition::Accepted
    }

    /// How much may be claimed now. A lane's share leaves an eighth of the async permits to the other lanes.
    fn budget(&self) -> Budget {
        let permits = self.gate.limits().for_async();
        let share = permits - if permits > 1 { (permits / 8).max(1) } else { 0 };
        let prefetch = self.prefetch.rows(self.config.batch_max().saturating_mul(EXCHANGES_MAX as u32));
        // Whatever could start has started: rows that are queued while permits are free wait for their own lane.
        let ahead = prefetch.saturating_sub(self.lanes.queued());
        let free = self.gate.free(Caller::Async).saturating_add(ahead).saturating_sub(self.lanes.asked());
        let rows = if self.shutdown.is_some() { 0 } else { free.min(self.config.batch_max()) };
        Budget { rows, share, prefetch }
    }

    fn room(&self) -> u32 {
        let is_able = self.shutdown.is_none() && self.clock.is_known() && self.health.may_call(self.now);
        let Budget { rows, share, .. } = self.budget();
        // What is asked for may come before it, and takes the permits then.
        let free = rows.min(self.gate.free(Caller::Async).saturating_sub(self.lanes.asked()));
        if !is_able || free == 0 {
            return 0;
        }
        // All of it may be of one lane: of which is not known.
        let (mut room, mut closed) = (free.min(share), 0);
        for (_, of_lane) in self.lanes.room(self.clock.now(self.now), share) {
            match of_lane {
                0 => closed += 1,
                _ => room = room.min(of_lane),
            }
            if closed > CLOSED_LANES_MAX {
                return 0;
            }
        }
        room
    }

    fn idle(&self) -> Output {
        let store = self.health.may_call(self.now);
        let due = self.lanes.next_due_after(self.clock.now(self.now)).map(|at| self.clock.local(at, self.now));
        let waits = [
            (self.health.blocked_until(self.now), IdleReason::StoreBackoff),
            (self.upkeep.next_discovery().filter(|_| store && self.shutdown.is_none()), IdleReason::Poll),
            (due.filter(|_| store && self.shutdown.is_none()), IdleReason::LaneDue),
            (self.upkeep.next_renewal().filter(|_| store), IdleReason::Renew),
            (self.executions.next_overrun(), IdleReason::Overrun),
            (self.claims.next_queue_check(), IdleReason::QueueWait),
            (self.calls.next_give_up(), IdleReason::SyncWait),
            (self.shutdown.as_ref().and_then(Shutdown::next), IdleReason::ShutdownGrace),
        ];
        let next = waits.into_iter().filter_map(|(at, reason)| Some((at?, reason))).min();
        match next {
            // A time that has passed would have been acted on, unless an answer is waited for first.
            Some((at, reason)) => Output::Idle { wake_at: Some(at.max(self.now.plus(Micros(1)))), reason },
            None => Output::Idle { wake_at: None, reason: IdleReason::Answers },
        }
    }
}
