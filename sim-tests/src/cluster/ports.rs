//! The ports of a simulated driver: the store across the network, handlers in simulated time, and
//! the inboxes of callers.

use super::store::{StoreCall, address};
use super::{Shared, lock};
use crate::app::is_poison;
use crate::checkers::{DriverEvent, Life, Observation};
use crate::plan::{CrashPoint, HandlerFault, StoreFault};
use crate::probes::Probe;
use crate::world::{POISON_DOWN, failed, handler_failure, not_started, outcome, start_wait};
use madsim::net::Endpoint;
use madsim::time::{Duration, sleep};
use std::sync::Arc;
use tidegate_core::{
    Delivery, ExecError, Fact, InboxId, OpId, Outcome, Reply, Request, StoreError, StoreErrorKind, SyncReply,
};
use tidegate_ports::{DispatchStore, Executor, InboxRegistry, InboxResolver, Observer, ReplyOutcome, StartWait};

/// The timeout of a store call.
const CALL_MAX: Duration = Duration::from_millis(300);
/// The effect of a failed store call on a daemon: the longest back-off, in microseconds.
const BACKOFF_MAX: u64 = 3_000_000;

/// Reports to the checkers that a port has returned, or was dropped.
struct PortReport {
    of: Life,
    op: OpId,
    referee: Shared,
    has_returned: bool,
}

impl PortReport {
    fn begin(of: Life, op: OpId, referee: &Shared) -> Self {
        Self { of, op, referee: Shared::clone(referee), has_returned: false }
    }

    fn end(mut self, fate: Option<tidegate_core::Fate>) {
        self.has_returned = true;
        lock(&self.referee).report(self.of, DriverEvent::PortReturned { op: self.op, fate });
    }
}

impl Drop for PortReport {
    fn drop(&mut self) {
        if !self.has_returned
            && let Ok(mut world) = self.referee.lock()
        {
            world.report(self.of, DriverEvent::PortDropped(self.op));
        }
    }
}

/// The store across the network.
pub(super) struct RemoteStore {
    pub(super) of: Life,
    pub(super) endpoint: Endpoint,
    pub(super) referee: Shared,
}

impl RemoteStore {
    async fn send(&self, op: OpId, request: Request, delay_us: u64) -> Result<Reply, StoreError> {
        let Life { daemon, life } = self.of;
        let call = StoreCall { daemon, life, op, request, delay_us };
        let answer = self.endpoint.call_timeout(address(), call, CALL_MAX + Duration::from_micros(delay_us)).await;
        answer.map_err(|error| StoreError::unknown(error.to_string()))
    }

    async fn send_with_fault(&self, op: OpId, request: Request, fault: StoreFault) -> Result<Reply, StoreError> {
        let not_applied = |kind, what: &str| Err(StoreError::not_applied(kind, what));
        match fault {
            StoreFault::Refused => {
                sleep(Duration::from_millis(1)).await;
                not_applied(StoreErrorKind::Unavailable, "refused")
            }
            StoreFault::Contention => {
                sleep(Duration::from_millis(1)).await;
                not_applied(StoreErrorKind::Contention, "a deadlock")
            }
            StoreFault::Exhausted(length) => {
                sleep(Duration::from_micros(length)).await;
                not_applied(StoreErrorKind::Unavailable, "no connection")
            }
            StoreFault::QuestionLost => {
                sleep(CALL_MAX).await;
                Err(StoreError::unknown("the request was lost"))
            }
            StoreFault::AnswerLost => {
                self.send(op, request, 0).await?;
                Err(StoreError::unknown("the answer was lost"))
            }
            StoreFault::AnswerTwice => {
                lock(&self.referee).daemons[self.of.daemon].ops_answered_twice.insert(op);
                self.send(op, request, 0).await
            }
            StoreFault::Late(length) => {
                let Life { daemon, life } = self.of;
                let call = StoreCall { daemon, life, op, request, delay_us: length };
                let endpoint = self.endpoint.clone();
                let patience = CALL_MAX + Duration::from_micros(length);
                madsim::task::spawn(async move { endpoint.call_timeout(address(), call, patience).await });
                sleep(Duration::from_millis(1)).await;
                Err(StoreError::unknown("the answer is late"))
            }
            StoreFault::Slow(length) => self.send(op, request, length).await,
            StoreFault::AnswerSlow(length) => {
                let answer = self.send(op, request, 0).await;
                sleep(Duration::from_micros(length)).await;
                answer
            }
        }
    }

    /// Records the fault, and that it has effects on this daemon.
    fn record(&self, fault: StoreFault) {
        let mut world = lock(&self.referee);
        let daemon = self.of.daemon;
        let lease_us = world.daemons[daemon].settings.lease_ms * 1_000;
        if let Some(probe) = fault.probe(lease_us) {
            world.probes.sometimes(probe, true);
        }
        world.tell(|| format!("daemon {daemon}: its store call fails: {fault:?}"));
        let length = match fault {
            StoreFault::Exhausted(length)
            | StoreFault::Late(length)
            | StoreFault::Slow(length)
            | StoreFault::AnswerSlow(length) => length,
            _ => CALL_MAX.as_micros() as u64,
        };
        let until = world.now() + length + BACKOFF_MAX;
        world.trouble(daemon, until);
    }
}

impl DispatchStore for RemoteStore {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let call = lock(&self.referee).take_store_call(self.of, &request);
        // The life has ended, and this call began after its end.
        let Some((op, fault)) = call else { return Err(StoreError::unknown("the daemon has ended")) };
        let report = PortReport::begin(self.of, op, &self.referee);
        let answer = match fault {
            None => self.send(op, request, 0).await,
            Some(fault) => {
                self.record(fault);
                self.send_with_fault(op, request, fault).await
            }
        };
        if answer.is_err() {
            let mut world = lock(&self.referee);
            let now = world.now();
            let is_down = world.outage_until > now;
            world.probes.sometimes(Probe::StoreDown, is_down);
            world.trouble(self.of.daemon, now + BACKOFF_MAX);
        }
        report.end(answer.as_ref().err().map(|error| error.fate));
        answer
    }
}

/// The message of a handler's panic. Any other panic ends the process.
pub(super) const HANDLER_PANIC: &str = "a handler that panics";

/// Runs handlers in simulated time.
pub(super) struct Handlers {
    pub(super) of: Life,
    pub(super) referee: Shared,
}

/// An execution as it will go.
struct Execution {
    op: OpId,
    wait: u64,
    took: u64,
    outcome: Outcome,
    fault: Option<HandlerFault>,
    dies: Option<u64>,
}

impl Handlers {
    fn begin(&self, delivery: &Delivery) -> Option<Execution> {
        let mut world = lock(&self.referee);
        let op = world.take_execution(self.of, delivery.claim())?;
        let (has_faults, nth, now) = (world.has_faults(), world.next_execution(), world.now());
        let daemon = &mut world.daemons[self.of.daemon];
        let fault = if has_faults { daemon.handler_faults.pop_front() } else { None };
        let next_crash = daemon.next_crash.filter(|(point, _)| has_faults && *point == CrashPoint::Running);
        let seed = world.plan.seed;
        let mut wait = start_wait(seed, delivery, nth);
        let (mut took, mut outcome) = outcome(seed, delivery, nth, world.store());
        if fault == Some(HandlerFault::NotStarted) || world.daemons[self.of.daemon].full_until > now {
            (wait, outcome) = not_started(took);
            took = 0;
        } else if let Some(fault) = fault {
            world.probes.sometimes(Probe::Panicked, fault == HandlerFault::Panic);
            world.probes.sometimes(Probe::SuccessAsFailure, fault == HandlerFault::SuccessAsFailure);
            (took, outcome) = (took.min(1_000_000), handler_failure(fault));
        } else if world.down.get(delivery.trigger_name.as_str()).is_some_and(|until| *until > now) {
            outcome = failed(ExecError::EndpointUnreachable, "the destination is down");
        }
        let is_poison = is_poison(&delivery.event);
        world.probes.sometimes(Probe::Poisoned, is_poison);
        let dies = next_crash.map(|(_, down)| down).or_else(|| is_poison.then_some(POISON_DOWN));
        Some(Execution { op, wait, took, outcome, fault, dies })
    }
}

impl Executor for Handlers {
    async fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        let Some(Execution { op, wait, took, outcome, fault, dies }) = self.begin(&delivery) else {
            return std::future::pending().await;
        };
        let report = PortReport::begin(self.of, op, &self.referee);
        if wait > 0 {
            sleep(Duration::from_micros(wait)).await;
        }
        if outcome.is_started() {
            start_wait.end();
            lock(&self.referee).handler_began(self.of, op);
        }
        if let Some(down) = dies {
            sleep(Duration::from_micros(took / 2)).await;
            let mut world = lock(&self.referee);
            if world.is_current(self.of) && (world.has_faults() || is_poison(&delivery.event)) {
                world.crash(self.of.daemon, CrashPoint::Running, down);
            }
        }
        if fault == Some(HandlerFault::Hang) {
            return std::future::pending().await;
        }
        sleep(Duration::from_micros(took)).await;
        report.end(None);
        assert!(fault != Some(HandlerFault::Panic), "{HANDLER_PANIC}");
        outcome
    }
}

/// Hands replies over and reports them to the checkers.
pub(super) struct ReportingInboxes {
    pub(super) of: Life,
    pub(super) inboxes: InboxRegistry,
    pub(super) referee: Shared,
}

impl InboxResolver for ReportingInboxes {
    async fn deliver(&self, inbox: InboxId, reply: SyncReply) -> ReplyOutcome {
        let Some(op) = lock(&self.referee).take_reply(self.of, inbox) else { return std::future::pending().await };
        let report = PortReport::begin(self.of, op, &self.referee);
        let outcome = self.inboxes.deliver(inbox, reply.clone()).await;
        let delivered = outcome == ReplyOutcome::Delivered;
        lock(&self.referee).observe(&Observation::ReplyHandedOver { inbox, reply: &reply, delivered });
        report.end(None);
        outcome
    }
}

/// The facts are observed at the dispatcher.
pub(super) struct NoObserver;

impl Observer for NoObserver {
    fn observe(&mut self, _: &Fact) {}
}
