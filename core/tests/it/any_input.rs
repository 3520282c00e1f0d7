//! No sequence of inputs makes the dispatcher panic, hang or run more executions than the gate
//! allows.

use crate::fixtures::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::*;

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, in microseconds.
    PassTime(u64),
    WakeUp(Vec<i64>, bool),
    /// Rows of an inline claim, and the age of its transaction in microseconds.
    InlineClaim(Vec<(i64, i64, i64, u32, u32)>, u64),
    InlineRows(u32),
    /// Answers one of the last operations, or an operation that was never started. The answer may
    /// be of the wrong kind. The number counts operations back from the last one.
    Answer(u64, Answer),
    /// Ends an execution with a success or a failure. `None`: its handler did not start. The last
    /// number is the start wait.
    EndExecution(u64, Option<bool>, u64),
    ChangeGate(u32, u32),
    /// A call of an inbox at this depth of a chain.
    Call(u64, u32),
    HangUp(u64),
    DeliverReply(u64, bool),
    Shutdown,
}

#[derive(Clone, Debug)]
enum Answer {
    Exchange {
        fenced: Vec<(i64, i64)>,
        conflicted: Vec<(i64, i64)>,
        claimed: Vec<(i64, i64, i64, u32, u32)>,
    },
    /// The rows of calls by the number of their inbox, and the refused calls.
    Begin {
        rows: Vec<(u64, i64, i64)>,
        refused: Vec<u64>,
    },
    Renew {
        fenced: Vec<(i64, i64)>,
    },
    Discover {
        lanes: Vec<(i64, i64, Option<u32>)>,
        suspects: Vec<(i64, i64)>,
    },
    Tick,
    Fail(bool),
}

fn small() -> impl Strategy<Value = i64> {
    prop_oneof![9 => 0..6_i64, 1 => any::<i64>()]
}

fn claims() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((small(), small()), 0..4)
}

fn rows() -> impl Strategy<Value = Vec<(i64, i64, i64, u32, u32)>> {
    prop::collection::vec((0..4_i64, small(), small(), 0..6_u32, prop_oneof![0..3_u32, Just(99)]), 0..8)
}

fn answer() -> impl Strategy<Value = Answer> {
    let limit = prop::option::of(1..4_u32);
    prop_oneof![
        6 => (claims(), claims(), rows())
            .prop_map(|(fenced, conflicted, claimed)| Answer::Exchange { fenced, conflicted, claimed }),
        3 => (prop::collection::vec((0..6_u64, small(), small()), 0..4), prop::collection::vec(0..6_u64, 0..2))
            .prop_map(|(rows, refused)| Answer::Begin { rows, refused }),
        1 => claims().prop_map(|fenced| Answer::Renew { fenced }),
        2 => (
            prop::collection::vec((0..4_i64, any::<i64>(), limit), 0..4),
            prop::collection::vec((0..4_i64, any::<i64>()), 0..3),
        )
            .prop_map(|(lanes, suspects)| Answer::Discover { lanes, suspects }),
        1 => Just(Answer::Tick),
        1 => any::<bool>().prop_map(Answer::Fail),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![9 => 0..2_000_000_u64, 1 => any::<u64>()].prop_map(Step::PassTime),
        3 => (prop::collection::vec(0..4_i64, 0..4), any::<bool>()).prop_map(|(lanes, all)| Step::WakeUp(lanes, all)),
        2 => (rows(), 0..20_000_000_u64).prop_map(|(claimed, ago)| Step::InlineClaim(claimed, ago)),
        1 => prop_oneof![0..8_u32, any::<u32>()].prop_map(Step::InlineRows),
        8 => (0..8_u64, answer()).prop_map(|(back, answer)| Step::Answer(back, answer)),
        6 => (0..12_u64, any::<Option<bool>>(), any::<u64>())
            .prop_map(|(back, ok, start_wait)| Step::EndExecution(back, ok, start_wait)),
        1 => (0..8_u32, 0..8_u32).prop_map(|(permits, reserve)| Step::ChangeGate(permits, reserve)),
        3 => (0..6_u64, prop_oneof![9 => 0..3_u32, 1 => Just(99)]).prop_map(|(seq, depth)| Step::Call(seq, depth)),
        1 => (0..6_u64).prop_map(Step::HangUp),
        3 => (0..8_u64, any::<bool>()).prop_map(|(back, delivered)| Step::DeliverReply(back, delivered)),
        1 => Just(Step::Shutdown),
    ]
}

fn to_claims(claims: Vec<(i64, i64)>) -> Vec<Claim> {
    claims.into_iter().map(|(id, lease)| Claim { delivery: DeliveryId(id), lease: Lease(lease) }).collect()
}

fn to_delivery((trigger, id, lease, attempt, depth): (i64, i64, i64, u32, u32)) -> Delivery {
    let lost = attempt / 2;
    Delivery { lease: Lease(lease), attempt, lost, event: event(depth), ..delivery(trigger, id) }
}

fn to_result(answer: Answer) -> Result<Reply, StoreError> {
    Ok(match answer {
        Answer::Exchange { fenced, conflicted, claimed } => Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: to_claims(fenced),
            conflicted: to_claims(conflicted),
            claimed: claimed.into_iter().map(to_delivery).map(Arc::new).collect(),
            suspects: 0,
            is_cut: false,
            woken_lanes: vec![TriggerId(1)],
        }),
        Answer::Begin { rows, refused } => Reply::BeginCalls(BeginCallsReply {
            now: NOW,
            deliveries: rows
                .into_iter()
                .map(|(seq, id, lease)| Delivery {
                    lease: Lease(lease),
                    reply_to: Some(caller(seq)),
                    ..delivery(9, id)
                })
                .map(Arc::new)
                .collect(),
            refused: refused.iter().map(|seq| (caller(*seq), Refusal::Busy)).collect(),
            repeated: refused
                .iter()
                .map(|seq| (caller(seq + 1), SyncReply { execution: None, result: Ok(None) }))
                .collect(),
        }),
        Answer::Renew { fenced } => Reply::Renew(RenewReply { now: NOW, fenced: to_claims(fenced) }),
        Answer::Discover { lanes, suspects } => Reply::Discover(DiscoverReply {
            now: NOW,
            lanes: lanes
                .into_iter()
                .map(|(trigger, due, max_concurrency)| LaneState {
                    trigger: TriggerId(trigger),
                    next_due: Timestamp(due),
                    max_concurrency,
                })
                .collect(),
            suspects: suspects
                .into_iter()
                .map(|(trigger, due)| SuspectLane { trigger: TriggerId(trigger), next_due: Timestamp(due) })
                .collect(),
            schedules: vec![schedule(Some(NOW))],
        }),
        Answer::Tick => Reply::Tick(TickReply { now: NOW, woken_lanes: vec![TriggerId(2)] }),
        Answer::Fail(true) => return Err(StoreError::unknown("reset")),
        Answer::Fail(false) => return Err(StoreError::not_applied(StoreErrorKind::Contention, "deadlock")),
    })
}

/// A dispatcher with the model that its outputs are checked against.
struct Model {
    dispatcher: Dispatcher,
    now: Mono,
    limits: GateLimits,
    /// The most permits since the last begin. A call is admitted before its row is written, so a
    /// later and lower limit does not bound it.
    permits_for_calls: u32,
    last_seq: u64,
    running: BTreeSet<OpId>,
    async_ops: BTreeSet<OpId>,
}

impl Model {
    fn new() -> Self {
        let limits = GateLimits { permits: 4, sync_reserve: 0, async_reserve: 0 };
        Self {
            dispatcher: Dispatcher::new(config(|_| ()), boot(), Mono(0)),
            now: Mono(0),
            limits,
            permits_for_calls: limits.permits,
            last_seq: 0,
            running: BTreeSet::new(),
            async_ops: BTreeSet::new(),
        }
    }

    fn input(&mut self, step: Step) -> Input {
        let seq = self.last_seq;
        let op = |back: u64| OpId { incarnation: boot().incarnation, seq: seq.saturating_sub(back) };
        match step {
            Step::PassTime(by) => {
                self.now = self.now.plus(Micros(by));
                Input::Tick
            }
            Step::WakeUp(lanes, discover) => {
                Input::WakeUp { lanes: lanes.into_iter().map(TriggerId).collect(), discover }
            }
            Step::InlineClaim(claimed, ago) => Input::InlineClaim {
                claimed: claimed.into_iter().map(to_delivery).map(Arc::new).collect(),
                begun_at: Mono(self.now.0.saturating_sub(ago)),
            },
            Step::InlineRows(rows) => Input::InlineClaimInFlight { rows },
            Step::Answer(back, answer) => Input::StoreAnswered { op: op(back), result: to_result(answer) },
            Step::EndExecution(back, ok, start_wait) => {
                let outcome = match ok {
                    Some(true) => succeeded(),
                    Some(false) => failed(ExecError::ScriptError),
                    None => Outcome::NotStarted { reason: "no thread".to_owned() },
                };
                Input::ExecutionEnded { op: op(back), outcome, start_wait: Micros(start_wait) }
            }
            Step::ChangeGate(permits, sync_reserve) => {
                Input::GateChanged { limits: GateLimits { permits, sync_reserve, async_reserve: sync_reserve / 2 } }
            }
            Step::Call(seq, depth) => Input::SyncCalled { call: std::sync::Arc::new(call(seq, depth)) },
            Step::HangUp(seq) => Input::CallerGone { inbox: caller(seq) },
            Step::DeliverReply(back, delivered) => Input::ReplyDelivered { op: op(back), delivered },
            Step::Shutdown => Input::ShutdownRequested,
        }
    }

    fn handle(&mut self, input: Input) -> Result<(), TestCaseError> {
        let (ended, changed) = match &input {
            Input::ExecutionEnded { op, .. } => (Some(*op), None),
            Input::GateChanged { limits } => (None, Some(*limits)),
            _ => (None, None),
        };
        let disposition = self.dispatcher.handle(self.now, input);
        if disposition == Disposition::Accepted {
            self.limits = changed.unwrap_or(self.limits);
            self.permits_for_calls = self.permits_for_calls.max(self.limits.permits);
        }
        if let Some(op) = ended {
            prop_assert_eq!(self.running.remove(&op), disposition == Disposition::Accepted);
        }
        Ok(())
    }

    fn poll_until_idle(&mut self) -> Result<(), TestCaseError> {
        for _ in 1..10_000 {
            match self.dispatcher.poll() {
                Output::Action(action) => self.check(action)?,
                Output::Fact(_) => {}
                Output::Idle { wake_at, .. } => {
                    prop_assert!(wake_at.is_none_or(|at| at > self.now || self.now == Mono(u64::MAX)));
                    return Ok(());
                }
                Output::Stopped => return Ok(()),
            }
        }
        Err(TestCaseError::fail("10,000 polls did not return Idle"))
    }

    fn check(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Execute { op, delivery } => {
                prop_assert!(self.running.insert(op));
                let is_call = delivery.reply_to.is_some();
                let permits = if is_call { self.permits_for_calls } else { self.limits.permits };
                prop_assert!(self.running.len() as u32 <= permits, "{} executions run", self.running.len());
                if !is_call {
                    self.async_ops.insert(op);
                    let count = self.async_ops.intersection(&self.running).count() as u32;
                    prop_assert!(count <= self.limits.for_async(), "{count} async executions run");
                }
                self.last_seq = self.last_seq.max(op.seq);
            }
            Action::Cancel { op } => prop_assert!(self.running.remove(&op)),
            Action::CallStore { op, request } => {
                if let Request::BeginCalls { .. } = request {
                    self.permits_for_calls = self.limits.permits;
                }
                self.last_seq = self.last_seq.max(op.seq);
            }
            Action::Reply { op, .. } => self.last_seq = self.last_seq.max(op.seq),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_inputs_make_the_dispatcher_panic_or_exceed_its_permits(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            let input = model.input(step);
            model.handle(input)?;
            model.poll_until_idle()?;
            // A call that begins has its permit before its execution starts.
            prop_assert!(model.dispatcher.view().running as usize >= model.running.len());
        }
    }
}
