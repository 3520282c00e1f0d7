//! A dispatcher under test: a test sends one input and looks at every output.

use crate::fixtures::*;
use std::sync::Arc;
use tidegate_core::*;

pub(crate) struct Bench {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) now: Mono,
}

/// The outputs of a dispatcher until `Idle`: actions and facts, each in their order.
pub(crate) struct Drained {
    pub(crate) actions: Vec<Action>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) idle: Option<(Option<Mono>, IdleReason)>,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        Self { dispatcher: Dispatcher::new(config, boot(), Mono(0)), now: Mono(0) }
    }

    pub(crate) fn drain(&mut self) -> Drained {
        let mut drained = Drained { actions: Vec::new(), facts: Vec::new(), idle: None };
        loop {
            match self.dispatcher.poll() {
                Output::Action(action) => drained.actions.push(action),
                Output::Fact(fact) => drained.facts.push(fact),
                Output::Idle { wake_at, reason } => {
                    assert!(wake_at.is_none_or(|at| at > self.now), "the next timer is in the future");
                    drained.idle = Some((wake_at, reason));
                    return drained;
                }
                Output::Stopped => return drained,
            }
        }
    }

    pub(crate) fn after(&mut self, pause: Micros, input: Input) -> Drained {
        self.now = self.now.plus(pause);
        assert_eq!(self.dispatcher.handle(self.now, input), Disposition::Accepted);
        self.drain()
    }

    pub(crate) fn answer(&mut self, op: OpId, reply: Reply) -> Drained {
        self.after(Micros(1_000), Input::StoreAnswered { op, result: Ok(reply) })
    }

    pub(crate) fn fail(&mut self, op: OpId, error: StoreError) -> Drained {
        self.after(Micros(1_000), Input::StoreAnswered { op, result: Err(error) })
    }

    pub(crate) fn end(&mut self, op: OpId, outcome: Outcome) -> Drained {
        self.end_after(Micros(1_000), op, outcome, Micros::ZERO)
    }

    /// Ends an execution whose handler began after `start_wait`.
    pub(crate) fn end_after(&mut self, pause: Micros, op: OpId, outcome: Outcome, start_wait: Micros) -> Drained {
        self.after(pause, Input::ExecutionEnded { op, outcome, start_wait })
    }

    /// A dispatcher after its first discovery, which found no lane.
    pub(crate) fn started(config: Config) -> Self {
        let mut bench = Self::new(config);
        let op = only_discover(&bench.drain());
        bench.answer(op, discovered(&[]));
        bench
    }

    /// A dispatcher that executes these deliveries, and the operations of the executions.
    pub(crate) fn running(config: Config, deliveries: Vec<Delivery>) -> (Self, Vec<OpId>) {
        let mut bench = Self::started(config);
        let lanes = deliveries.iter().map(|delivery| delivery.trigger_id).collect();
        let woken = bench.after(Micros(1), Input::WakeUp { lanes, discover: false });
        let (op, _, _) = only_exchange(&woken);
        let started = bench.answer(op, claimed(deliveries));
        (bench, executions(&started).into_iter().map(|(op, _)| op).collect())
    }
}

pub(crate) fn discovered(lanes: &[(i64, Timestamp)]) -> Reply {
    let lanes = lanes
        .iter()
        .map(|(trigger, next_due)| LaneState {
            trigger: TriggerId(*trigger),
            next_due: *next_due,
            max_concurrency: None,
        })
        .collect();
    Reply::Discover(DiscoverReply { now: NOW, lanes, suspects: vec![], schedules: vec![] })
}

/// A discovery of a due suspect in each of these lanes.
pub(crate) fn suspects_discovered(lanes: &[i64]) -> Reply {
    let lane = |trigger: &i64| SuspectLane { trigger: TriggerId(*trigger), next_due: NOW };
    let suspects = lanes.iter().map(lane).collect();
    Reply::Discover(DiscoverReply { now: NOW, lanes: vec![], suspects, schedules: vec![] })
}

pub(crate) fn exchanged() -> Reply {
    claimed(Vec::new())
}

pub(crate) fn claimed(claimed: Vec<Delivery>) -> Reply {
    Reply::Exchange(exchange_reply(claimed))
}

/// A reply with claimed rows. Those that were lost are suspects.
pub(crate) fn exchange_reply(claimed: Vec<Delivery>) -> ExchangeReply {
    let suspects = claimed.iter().filter(|row| row.was_lost()).count() as u32;
    let claimed = claimed.into_iter().map(Arc::new).collect();
    ExchangeReply {
        now: NOW,
        fenced: Vec::new(),
        conflicted: Vec::new(),
        claimed,
        suspects,
        is_cut: false,
        woken_lanes: Vec::new(),
    }
}

pub(crate) fn only_discover(drained: &Drained) -> OpId {
    match drained.actions.as_slice() {
        [Action::CallStore { op, request: Request::Discover }] => *op,
        other => panic!("expected one discovery, got {other:?}"),
    }
}

pub(crate) fn exchanges(drained: &Drained) -> Vec<(OpId, Vec<Settlement>, Vec<LaneQuota>)> {
    let of = |action: &Action| match action {
        Action::CallStore { op, request: Request::Exchange { settle, claim, .. } } => {
            Some((*op, settle.clone(), claim.clone()))
        }
        _ => None,
    };
    drained.actions.iter().filter_map(of).collect()
}

pub(crate) fn only_exchange(drained: &Drained) -> (OpId, Vec<Settlement>, Vec<LaneQuota>) {
    let mut all = exchanges(drained);
    assert_eq!(all.len(), 1, "{:?}", drained.actions);
    all.remove(0)
}

/// The lanes of a claim, and their quotas.
pub(crate) fn quotas(claim: &[LaneQuota]) -> Vec<(i64, u32)> {
    claim.iter().map(|quota| (quota.trigger.0, quota.quota)).collect()
}

pub(crate) fn executions(drained: &Drained) -> Vec<(OpId, Arc<Delivery>)> {
    let of = |action: &Action| match action {
        Action::Execute { op, delivery } => Some((*op, Arc::clone(delivery))),
        _ => None,
    };
    drained.actions.iter().filter_map(of).collect()
}

pub(crate) fn claim_of(delivery: &Delivery) -> Claim {
    Claim { delivery: delivery.id, lease: delivery.lease }
}

pub(crate) fn done(delivery: &Delivery) -> Settlement {
    Settlement { claim: claim_of(delivery), verdict: Verdict::Done { effects: Effects::default() } }
}

pub(crate) fn unavailable() -> StoreError {
    StoreError::not_applied(StoreErrorKind::Unavailable, "down")
}
