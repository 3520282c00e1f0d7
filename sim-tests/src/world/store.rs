//! Store calls in flight and their faults.

use super::daemon::incarnation;
use super::{Event, World};
use crate::checkers::{Life, Observation, Violation};
use crate::plan::{CallFault, CrashPoint, StoreFault};
use crate::probes::Probe;
use tidegate_core::{Input, Micros, OpId, Reply, Request, StoreError, StoreErrorKind};

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
        let request = self.daemons[daemon].version.adapt(request);
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
        let Some(request) = self.saboteur().sabotaged_request(request) else { return Ok(()) };
        if self.outage_until > self.now {
            self.probes.sometimes(Probe::StoreDown, true);
            let error = StoreError::not_applied(StoreErrorKind::Unavailable, "the store is down");
            self.schedule_failure(of, op, there, error);
            return Ok(());
        }
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
        let until = match fault {
            StoreFault::Refused => {
                self.schedule_failure(of, op, there, not_applied(StoreErrorKind::Unavailable, "refused"));
                there
            }
            StoreFault::Contention => {
                self.schedule_failure(of, op, there, not_applied(StoreErrorKind::Contention, "a deadlock"));
                there
            }
            StoreFault::Exhausted(length) => {
                self.schedule_failure(of, op, length, not_applied(StoreErrorKind::Unavailable, "no connection"));
                length
            }
            StoreFault::QuestionLost => {
                self.schedule_failure(of, op, there, StoreError::unknown("the request was lost"));
                there
            }
            StoreFault::AnswerLost => {
                self.schedule_apply(of, op, request, there, Vec::new());
                self.schedule_failure(of, op, there + back, StoreError::unknown("the answer was lost"));
                there + back
            }
            StoreFault::AnswerTwice => {
                self.answer_earlier_life(of, op, there);
                self.schedule_apply(of, op, request, there, vec![back, 3 * back]);
                there + 3 * back
            }
            StoreFault::Late(length) => {
                self.schedule_failure(of, op, there, StoreError::unknown("the answer is late"));
                self.schedule_apply(of, op, request, there + length, Vec::new());
                there + length
            }
            StoreFault::Slow(length) => {
                self.schedule_apply(of, op, request, there + length, vec![back]);
                there + length + back
            }
            StoreFault::AnswerSlow(length) => {
                self.schedule_apply(of, op, request, there, vec![back + length]);
                there + length + back
            }
        };
        if let Some(probe) = fault.probe(lease) {
            self.probes.sometimes(probe, true);
        }
        // The longest back-off after a failure counts as part of the fault.
        self.trouble(of.daemon, self.now + until + 3_000_000);
    }

    /// Answers the call with the same number of the life before this one. The new life numbers its
    /// calls from 1 again, so only the incarnation distinguishes the two answers.
    fn answer_earlier_life(&mut self, of: Life, op: OpId, after: u64) {
        let Some(life) = of.life.checked_sub(1) else { return };
        let op = OpId { incarnation: incarnation(of.daemon, life), ..op };
        self.schedule_failure(Life { life, ..of }, op, after, StoreError::unknown("an earlier life was answered late"));
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
        if self.outage_until > self.now {
            if !answers.is_empty() {
                self.schedule_failure(of, op, 0, StoreError::unknown("the connection was lost"));
            }
            return Ok(());
        }
        let moved_back = self.store.moved_back();
        let reply = self.perform_request(daemon, &request);
        if self.store.moved_back() > moved_back {
            let by = Micros(self.store.moved_back().0 - moved_back.0);
            self.observe(&Observation::TimesMoved { by })?;
        }
        let is_well = self.is_well();
        self.cost.applied(&request, &reply, is_well);
        self.trace.note(&reply);
        self.trace.tell_applied(daemon, &request, &reply);
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

    pub(super) fn perform_request(&mut self, daemon: usize, request: &Request) -> Reply {
        match self.bug {
            None => self.store.call(request.clone()),
            Some(bug) => bug.apply(&mut self.store, daemon, request.clone(), &mut self.sabotage_memory),
        }
    }

    /// True if this was an exchange with settlements.
    pub(super) fn is_settlement(&self, op: OpId) -> bool {
        self.settling_ops.contains(&op)
    }
}
