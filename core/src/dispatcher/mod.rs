//! The dispatcher: the state machine behind every claim, execution and settlement.
//!
//! The store is authoritative for every row. The dispatcher holds claims: copies of rows that it
//! may execute until their lease expires. It decides a verdict about each claim, and the store
//! checks that the claim is still valid when it applies the verdict. So a dispatcher that is
//! paused, cut off from the store or killed costs latency and attempts. It never loses a delivery,
//! and it never applies an effect twice.
//!
//! There are two kinds of files here. Each sub-state has a file and a type of its own. Its methods
//! touch no other state: [`Outputs`], [`PendingCalls`], [`StoreClock`], [`StoreHealth`],
//! [`Claims`], [`Executions`], [`SettlementQueue`], [`CallQueue`], [`CallShares`], [`Replies`],
//! [`UpkeepTimers`], [`Prefetch`], [`Quarantine`], [`Rests`], [`Shutdown`], and outside this
//! directory [`Lanes`] and [`ExecutionGate`]. The other files connect the sub-states. They are the
//! steps of [`Dispatcher::plan`] and the handlers of inputs: `exchange`, `refused`, `start`,
//! `finish`, `calls`, `maintenance` and `drain`.

mod call_queue;
mod call_shares;
mod calls;
mod claims;
mod clock;
mod drain;
mod exchange;
mod executions;
mod finish;
mod health;
mod maintenance;
mod outputs;
mod pending;
mod prefetch;
mod quarantine;
mod refused;
mod replies;
mod rests;
mod settlements;
mod shutdown;
mod start;
mod upkeep;

use crate::config::{Config, GateLimits};
use crate::gate::{Caller, ExecutionGate};
use crate::io::{Boot, Disposition, Fact, IdleReason, Input, Output};
use crate::lanes::Lanes;
use crate::room::{Capacity, InlineRoom};
use crate::store::{Reply, StoreError};
use crate::time::{Micros, Mono, Timestamp};
use call_queue::{CallQueue, ConflictedCalls};
use call_shares::CallShares;
use claims::Claims;
use clock::StoreClock;
use exchange::EXCHANGES_MAX;
use executions::Executions;
use health::StoreHealth;
use outputs::Outputs;
use pending::{Answer, Pending, PendingCalls};
use prefetch::Prefetch;
use quarantine::Quarantine;
use replies::Replies;
use rests::Rests;
use settlements::SettlementQueue;
use shutdown::Shutdown;
use upkeep::UpkeepTimers;

/// The state machine. [`crate::io`] describes its inputs and outputs, and the one rule for driving
/// it.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    config: Config,
    boot: Boot,
    now: Mono,
    outputs: Outputs,
    pending: PendingCalls,
    clock: StoreClock,
    health: StoreHealth,
    gate: ExecutionGate,
    lanes: Lanes,
    /// Rows that the inline claim in flight may return.
    inline_rows: u32,
    claims: Claims,
    executions: Executions,
    settlements: SettlementQueue,
    call_queue: CallQueue,
    call_shares: CallShares,
    conflicted_calls: ConflictedCalls,
    replies: Replies,
    upkeep: UpkeepTimers,
    prefetch: Prefetch,
    quarantine: Quarantine,
    rests: Rests,
    shutdown: Option<Shutdown>,
    stale_answers: u64,
}

/// A summary of the dispatcher's state, for checkers, metrics and diagnosis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Executions that hold a permit.
    pub running: u32,
    /// Permits of the gate.
    pub permits: u32,
    /// Permits that only sync calls get.
    pub sync_reserve: u32,
    /// Permits that only async work gets.
    pub async_reserve: u32,
    /// Claimed rows that wait for a permit.
    pub queued: u32,
    /// Sync calls that wait for a permit.
    pub calls_waiting: u32,
    /// Replies that are being handed over.
    pub replying: u32,
    /// Settlements that the store has not answered.
    pub settling: u32,
    /// Claims that the dispatcher holds.
    pub held: u32,
    /// Lanes with known work.
    pub lanes: u32,
    /// The rows of [`Dispatcher::inline_room`].
    pub inline_room: u32,
    /// Rows that the inline claim in flight may return.
    pub inline_rows: u32,
    /// Failed store calls since the last answer.
    pub store_failures: u32,
    /// Inputs that were [`Disposition::Stale`].
    pub stale: u64,
    /// Whether a shutdown was requested.
    pub shutting_down: bool,
    /// Whether the shutdown is complete.
    pub stopped: bool,
}

impl Dispatcher {
    /// A dispatcher without claims. Its first poll discovers the lanes with work.
    #[must_use]
    pub fn new(config: Config, boot: Boot, now: Mono) -> Self {
        Self {
            config,
            boot,
            now,
            outputs: Outputs::new(boot.incarnation),
            pending: PendingCalls::default(),
            clock: StoreClock::default(),
            health: StoreHealth::default(),
            gate: ExecutionGate::new(config.gate()),
            lanes: Lanes::default(),
            inline_rows: 0,
            claims: Claims::default(),
            executions: Executions::default(),
            settlements: SettlementQueue::default(),
            call_queue: CallQueue::default(),
            call_shares: CallShares::default(),
            conflicted_calls: ConflictedCalls::default(),
            replies: Replies::default(),
            upkeep: UpkeepTimers::new(now, config.renew_every()),
            prefetch: Prefetch::new(now),
            quarantine: Quarantine::default(),
            rests: Rests::default(),
            shutdown: None,
            stale_answers: 0,
        }
    }

    /// Applies an input. If `now` is earlier than in a previous call, the later time is used.
    pub fn handle(&mut self, now: Mono, input: Input) -> Disposition {
        self.now = self.now.max(now);
        self.prefetch.advance(self.now, self.gate.runs_async());
        let disposition = self.apply(input);
        if disposition == Disposition::Stale {
            self.stale_answers = self.stale_answers.saturating_add(1);
        }
        disposition
    }

    /// The next output. Call it until it returns `Idle` or `Stopped`.
    #[must_use]
    pub fn poll(&mut self) -> Output {
        if self.outputs.is_empty() {
            self.plan();
        }
        match self.outputs.pop() {
            Some(output) => output,
            None if self.is_stopped() => Output::Stopped,
            None => self.idle(),
        }
    }

    /// A summary of the state.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            running: self.gate.running(),
            permits: self.gate.limits().permits,
            sync_reserve: self.gate.limits().sync_reserve,
            async_reserve: self.gate.limits().async_reserve,
            queued: self.lanes.queued(),
            calls_waiting: (self.call_queue.len() + self.conflicted_calls.len()) as u32,
            replying: self.replies.len(),
            settling: self.settlements.len() + self.pending.settlement_count(),
            held: self.claims.len(),
            lanes: self.lanes.len() as u32,
            inline_room: self.inline_room().rows,
            inline_rows: self.inline_rows,
            store_failures: self.health.failures(),
            stale: self.stale_answers,
            shutting_down: self.shutdown.is_some(),
            stopped: self.is_stopped(),
        }
    }

    /// The room for an inline claim of the next transaction of this process. The room is empty
    /// while the dispatcher shuts down and while the store has not answered its last call.
    #[must_use]
    pub fn inline_room(&self) -> InlineRoom {
        let is_able = self.shutdown.is_none() && self.clock.is_known() && self.health.may_call(self.now);
        if is_able {
            self.capacity().inline_room(self.lanes.loads(self.clock.now(self.now)))
        } else {
            InlineRoom::default()
        }
    }

    fn apply(&mut self, input: Input) -> Disposition {
        match input {
            Input::StoreAnswered { op, .. } | Input::ExecutionEnded { op, .. } | Input::ReplyDelivered { op, .. }
                if op.incarnation != self.boot.incarnation =>
            {
                return Disposition::Stale;
            }
            Input::StoreAnswered { op, result } => return self.store_answered(op.seq, result),
            Input::ExecutionEnded { op, outcome, start_wait } => {
                return self.execution_ended(op.seq, outcome, start_wait);
            }
            Input::ReplyDelivered { op, delivered } => return self.reply_delivered(op.seq, delivered),
            Input::SyncCalled { call } => return self.sync_called(call),
            Input::CallerGone { inbox } => return self.caller_gone(inbox),
            Input::GateChanged { limits } => return self.change_gate(limits),
            Input::Tick => {}
            Input::WakeUp { lanes, discover } => {
                lanes.into_iter().for_each(|lane| self.lanes.wake(lane));
                if discover {
                    self.upkeep.request_discovery();
                }
            }
            Input::InlineClaimInFlight { rows } => self.inline_rows = rows,
            Input::InlineClaim { claimed, begun_at } => self.inline_claim(claimed, begun_at.min(self.now)),
            Input::ShutdownRequested => self.request_shutdown(),
        }
        Disposition::Accepted
    }

    /// Queues every action that is possible now. The order keeps permits busy: first the permits of
    /// overrun executions are freed, then waiting work starts. Settlements and claims follow, then
    /// renewals and discoveries.
    fn plan(&mut self) {
        if self.is_stopped() {
            return;
        }
        self.advance_shutdown();
        self.fail_overruns();
        self.end_rests();
        self.defer_waiting_rows();
        self.admit_calls();
        self.start_queued();
        if self.health.may_call(self.now) {
            self.exchange();
            self.renew();
            self.discover();
        }
    }

    fn store_answered(&mut self, seq: u64, result: Result<Reply, StoreError>) -> Disposition {
        let answer = match self.pending.answer(seq, result) {
            Ok(answer) => answer,
            Err(disposition) => return disposition,
        };
        match answer {
            Answer::Exchange(sent, reply) => self.exchange_answered(sent, reply),
            Answer::BeginCalls(sent, reply) => self.begin_answered(sent, reply),
            Answer::Renew(sent, reply) => self.renew_answered(sent, reply),
            Answer::Discover { sent_at, reply } => self.discover_answered(sent_at, reply),
            Answer::Tick(reply) => self.tick_answered(reply),
            Answer::Failed(call, error) => self.store_call_failed(call, error),
        }
        Disposition::Accepted
    }

    /// Every answer of the store contains its clock and ends a series of failures. If the clock was
    /// set back, the due times that this dispatcher keeps are too late. A discovery finds them.
    fn store_answered_at(&mut self, store_now: Timestamp) {
        if self.clock.set(store_now, self.now) {
            self.lanes.forget_due_times();
            self.upkeep.forget_ticks();
            self.upkeep.request_discovery();
        }
        if let Some((failures, after)) = self.health.answered(self.now) {
            self.outputs.emit_fact(Fact::StoreRecovered { failures, after });
            self.upkeep.request_discovery();
        }
    }

    fn store_call_failed(&mut self, call: Pending, error: StoreError) {
        let request = call.name().to_owned();
        match call {
            Pending::Exchange(sent) if error.refuses_data() && !sent.batch.settlements.is_empty() => {
                return self.exchange_refused(sent, &error);
            }
            Pending::BeginCalls(sent) if error.refuses_data() => return self.begin_refused(sent, &error),
            Pending::Exchange(sent) => self.exchange_failed(sent, &error),
            Pending::BeginCalls(sent) => self.begin_failed(sent, &error),
            Pending::Renew(_) => self.upkeep.renewal_failed(self.now),
            Pending::Discover { .. } => self.upkeep.discovery_failed(self.now),
            // The next discovery finds the due schedules again.
            Pending::Tick => {}
        }
        let retry_in = self.health.failed(&error, self.boot.rng_key, self.now);
        let failures = self.health.failures();
        self.outputs.emit_fact(Fact::StoreFailed { request, error, failures, retry_in });
    }

    fn change_gate(&mut self, limits: GateLimits) -> Disposition {
        if limits.check().is_err() {
            return Disposition::Rejected;
        }
        self.gate.change(limits);
        Disposition::Accepted
    }

    /// The numbers that bound the next claim. Its rules are in [`crate::room`].
    fn capacity(&self) -> Capacity {
        let batch_max = self.config.batch_max();
        Capacity {
            async_permits: self.gate.async_permits(),
            free_permits: self.gate.free(Caller::Async),
            rows_queued: self.lanes.queued(),
            rows_requested: self.requested(self.lanes.rows_requested()),
            starts_requested: self.requested(self.lanes.starts_requested()),
            prefetch: self.prefetch.rows(batch_max.saturating_mul(EXCHANGES_MAX as u32)),
            batch_max: if self.shutdown.is_some() { 0 } else { batch_max },
        }
    }

    /// Rows that claims in flight may return: these of lanes, and those of inline claims and of
    /// suspects, which all start at once.
    fn requested(&self, of_lanes: u32) -> u32 {
        of_lanes.saturating_add(self.inline_rows).saturating_add(self.quarantine.rows_requested())
    }

    fn is_stopped(&self) -> bool {
        self.shutdown.as_ref().is_some_and(Shutdown::is_stopped)
    }

    fn idle(&self) -> Output {
        let may_call = self.health.may_call(self.now);
        let may_claim = may_call && self.shutdown.is_none();
        let store_now = self.clock.now(self.now);
        let local = |at| self.clock.local(at, self.now);
        let due = self.lanes.next_due_after(store_now).map(local);
        let suspect_due = self.quarantine.next_due_after(store_now).map(local);
        let deadlines = [
            (self.health.blocked_until(self.now), IdleReason::StoreBackoff),
            (self.next_discovery().filter(|_| may_claim), IdleReason::Poll),
            (due.filter(|_| may_claim), IdleReason::LaneDue),
            (suspect_due.filter(|_| may_claim), IdleReason::SuspectDue),
            (self.next_renewal().filter(|_| may_call), IdleReason::Renew),
            (self.executions.next_overrun(), IdleReason::Overrun),
            (self.claims.next_queue_check(), IdleReason::QueueWait),
            (self.rests.next_end(), IdleReason::LaneRest),
            (self.call_queue.next_deadline(), IdleReason::SyncWait),
            (self.shutdown.as_ref().and_then(Shutdown::next_deadline), IdleReason::ShutdownGrace),
        ];
        let next = deadlines.into_iter().filter_map(|(at, reason)| Some((at?, reason))).min();
        match next {
            // A deadline that has passed without an action waits for an answer first.
            Some((at, reason)) => Output::Idle { wake_at: Some(at.max(self.now.plus(Micros(1)))), reason },
            None => Output::Idle { wake_at: None, reason: IdleReason::Answers },
        }
    }
}
