//! Store calls in flight and their faults.

use super::{Event, World};
use crate::checkers::{Life, Observation, Violation};
use crate::plan::{CallFault, CrashPoint, StoreFault};
use crate::probes::Probe;
use tidegate_core::{ExchangeReply, Input, OpId, Reply, Request, StoreError, StoreErrorKind, TickReply, Verdict};

impl World {
    /// A travel time for a request, an answer or a reply.
    pub(super) fn latency(&mut self) -> u64 {
        self.draw.between(50, super::LATENCY_MAX)
    }

    /// The fault of this daemon's next store call.
    fn next_fault(&mut self, daemon: usize) -> Option<StoreFault> {
        if self.now >= self.plan.heal_at {
            return None;
        }
        let faulty_daemon = &mut self.daemons[daemon];
        if faulty_daemon.cut_until > self.now {
            return Some(if faulty_daemon.cut_answers { StoreFault::AnswerLost } else { StoreFault::QuestionLost });
        }
        faulty_daemon.store_faults.pop_front()
    }

    pub(super) fn call_store(&mut self, daemon: usize, op: OpId, request: Request) -> Result<(), Violation> {
        let of = self.life(daemon);
        self.observe(&Observation::StoreCalled { of, op: Some(op), request: &request })?;
        self.daemons[daemon].calls += 1;
        let (nth, down) = (self.daemons[daemon].calls, 100_000);
        let fault = self.daemons[daemon].call_faults.remove(&nth);
        match fault {
            Some(CallFault::Crash(at)) => self.daemons[daemon].next_crash = Some((at, down)),
            Some(CallFault::Store(fault)) => self.daemons[daemon].store_faults.push_front(fault),
            None => {}
        }
        if self.crashes_at(daemon, CrashPoint::Asking)? {
            return Ok(());
        }
        let (there, back) = (self.latency(), self.latency());
        let Some(request) = self.sabotaged_request(request) else { return Ok(()) };
        match self.next_fault(daemon) {
            None => self.schedule_apply(of, op, request, there, vec![back]),
            Some(fault) => {
                let cut = self.daemons[daemon].cut_until > self.now;
                self.probes.sometimes(Probe::Cut, cut);
                self.trace.tell(|| format!("daemon {daemon}: its {} fails: {fault:?}", request.name()));
                self.inject_store_fault(of, op, request, fault, (there, back));
            }
        }
        Ok(())
    }

    fn inject_store_fault(
        &mut self,
        of: Life,
        op: OpId,
        request: Request,
        fault: StoreFault,
        (there, back): (u64, u64),
    ) {
        let not_applied = |kind, what: &str| StoreError::not_applied(kind, what);
        let lease = self.daemons[of.daemon].settings.lease_ms * 1_000;
        let (probe, until) = match fault {
            StoreFault::Refused => {
                self.schedule_failure(of, op, there, not_applied(StoreErrorKind::Unavailable, "refused"));
                (Probe::StoreRefused, there)
            }
            StoreFault::Contention => {
                self.schedule_failure(of, op, there, not_applied(StoreErrorKind::Contention, "a deadlock"));
                (Probe::StoreContention, there)
            }
            StoreFault::Exhausted(length) => {
                self.schedule_failure(of, op, length, not_applied(StoreErrorKind::Unavailable, "no connection"));
                (Probe::StoreExhausted, length)
            }
            StoreFault::QuestionLost => {
                self.schedule_failure(of, op, there, StoreError::unknown("the request was lost"));
                (Probe::QuestionLost, there)
            }
            StoreFault::AnswerLost => {
                self.schedule_apply(of, op, request, there, Vec::new());
                self.schedule_failure(of, op, there + back, StoreError::unknown("the answer was lost"));
                (Probe::AnswerLost, there + back)
            }
            StoreFault::AnswerTwice => {
                self.schedule_apply(of, op, request, there, vec![back, 3 * back]);
                (Probe::AnsweredTwice, there + 3 * back)
            }
            StoreFault::Late(length) => {
                self.schedule_failure(of, op, there, StoreError::unknown("the answer is late"));
                self.schedule_apply(of, op, request, there + length, Vec::new());
                (Probe::AppliedLate, there + length)
            }
            StoreFault::Slow(length) => {
                self.probes.sometimes(Probe::StoreSlow, length > lease);
                self.schedule_apply(of, op, request, there + length, vec![back]);
                (Probe::StoreSlow, there + length + back)
            }
            StoreFault::AnswerSlow(length) => {
                self.schedule_apply(of, op, request, there, vec![back + length]);
                (Probe::AnswerSlow, there + length + back)
            }
        };
        self.probes.sometimes(probe, probe != Probe::StoreSlow);
        // The longest back-off after a failure counts as part of the fault.
        self.trouble(of.daemon, self.now + until + 3_000_000);
    }

    fn schedule_apply(&mut self, of: Life, op: OpId, request: Request, there: u64, answers: Vec<u64>) {
        let Life { daemon, life } = of;
        self.at(self.now + there, Event::Apply { daemon, life, op, request, answers });
    }

    fn schedule_failure(&mut self, of: Life, op: OpId, after: u64, error: StoreError) {
        let Life { daemon, life } = of;
        let input = Input::StoreAnswered { op, result: Err(error) };
        self.at(self.now + after, Event::Reach { daemon, life, input });
    }

    pub(super) fn apply(
        &mut self,
        daemon: usize,
        life: u64,
        op: OpId,
        request: Request,
        answers: Vec<u64>,
    ) -> Result<(), Violation> {
        let of = Life { daemon, life };
        let reply = self.perform_request(&request);
        let is_well = self.is_well();
        self.cost.applied(&request, &reply, is_well);
        self.trace.note(&reply);
        self.record_applied(daemon, &request, &reply);
        self.observe(&Observation::StoreApplied { of, op, request: &request, reply: &reply })?;
        let is_caller_alive = self.daemons[daemon].life == life && self.daemons[daemon].is_alive;
        if is_caller_alive && self.crashes_at(daemon, CrashPoint::Applied)? {
            return Ok(());
        }
        if matches!(&request, Request::Exchange { settle, .. } if !settle.is_empty()) {
            self.settling_ops.insert(op);
        }
        for after in answers {
            let input = Input::StoreAnswered { op, result: Ok(reply.clone()) };
            self.at(self.now + after, Event::Reach { daemon, life, input });
        }
        Ok(())
    }

    pub(super) fn perform_request(&mut self, request: &Request) -> Reply {
        match self.bug {
            None => self.store.call(request.clone()),
            Some(bug) => bug.apply(&mut self.store, request.clone(), &mut self.sabotage_memory),
        }
    }

    /// True if this was an exchange with settlements.
    pub(super) fn is_settlement(&self, op: OpId) -> bool {
        self.settling_ops.contains(&op)
    }

    pub(super) fn record_applied(&mut self, daemon: usize, request: &Request, reply: &Reply) {
        if let Request::Exchange { settle, .. } = request {
            for one in settle {
                let (claim, name) = (one.claim, one.verdict.name());
                self.trace.tell(|| format!("store: daemon {daemon} settles {claim}: {name}"));
                let deferred = matches!(one.verdict, Verdict::Deferred { .. });
                self.probes.sometimes(Probe::Deferred, deferred);
                let permanent =
                    matches!(one.verdict, Verdict::Dead { reason: tidegate_core::DeadReason::Permanent, .. });
                self.probes.sometimes(Probe::Permanent, permanent);
                let again = self.store.row(one.claim.delivery).is_none() && self.is_redriven(one.claim.delivery);
                self.probes.sometimes(Probe::RedrivenDone, again && matches!(one.verdict, Verdict::Done { .. }));
            }
        }
        if let Reply::Exchange(ExchangeReply { claimed, .. }) = reply {
            for row in claimed {
                let (claim, name, attempt) = (row.claim(), row.trigger_name.clone(), row.attempt);
                self.trace.tell(|| format!("store: daemon {daemon} claims {claim}, {name}, attempt {attempt}"));
                if row.redrive_generation > 0 {
                    self.redriven.insert(row.id);
                }
            }
        }
        self.probes.sometimes(
            Probe::Ticked,
            matches!(reply, Reply::Tick(TickReply { woken_lanes: woken, .. }) if !woken.is_empty()),
        );
    }

    fn is_redriven(&self, id: tidegate_core::DeliveryId) -> bool {
        self.redriven.contains(&id)
    }
}
