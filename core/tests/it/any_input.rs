//! No sequence of inputs, however absurd, makes the dispatcher panic, hang or run more than the gate allows.

use crate::fixtures::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tidegate_core::*;

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Wake(Vec<i64>, bool),
    /// Rows that an emission claims, asked for so long ago.
    Carry(Vec<(i64, i64, i64, u32, u32)>, u64),
    /// Answers one of the last calls, or one that never was, with something that may not fit.
    Answer(u64, Answer),
    End(u64, bool),
    Gate(u32, u32),
    /// Somebody calls, so deep in a chain.
    Call(u64, u32),
    Hangup(u64),
    Delivered(u64, bool),
    Shutdown,
}

#[derive(Clone, Debug)]
enum Answer {
    Exchange {
        fenced: Vec<(i64, i64)>,
        conflicted: Vec<(i64, i64)>,
        claimed: Vec<(i64, i64, i64, u32, u32)>,
    },
    /// The rows of callers by their number, and callers who are refused.
    Begin {
        begun: Vec<(u64, i64, i64)>,
        refused: Vec<u64>,
    },
    Renew {
        fenced: Vec<(i64, i64)>,
    },
    Discover {
        lanes: Vec<(i64, i64, Option<u32>)>,
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
            .prop_map(|(begun, refused)| Answer::Begin { begun, refused }),
        1 => claims().prop_map(|fenced| Answer::Renew { fenced }),
        2 => prop::collection::vec((0..4_i64, any::<i64>(), limit), 0..4).prop_map(|lanes| Answer::Discover { lanes }),
        1 => Just(Answer::Tick),
        1 => any::<bool>().prop_map(Answer::Fail),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![9 => 0..2_000_000_u64, 1 => any::<u64>()].prop_map(Step::Pass),
        3 => (prop::collection::vec(0..4_i64, 0..4), any::<bool>()).prop_map(|(lanes, all)| Step::Wake(lanes, all)),
        2 => (rows(), 0..20_000_000_u64).prop_map(|(claimed, ago)| Step::Carry(claimed, ago)),
        8 => (0..8_u64, answer()).prop_map(|(back, answer)| Step::Answer(back, answer)),
        6 => (0..12_u64, any::<bool>()).prop_map(|(back, ok)| Step::End(back, ok)),
        1 => (0..8_u32, 0..8_u32).prop_map(|(permits, reserve)| Step::Gate(permits, reserve)),
        3 => (0..6_u64, prop_oneof![9 => 0..3_u32, 1 => Just(99)]).prop_map(|(seq, depth)| Step::Call(seq, depth)),
        1 => (0..6_u64).prop_map(Step::Hangup),
        3 => (0..8_u64, any::<bool>()).prop_map(|(back, delivered)| Step::Delivered(back, delivered)),
        1 => Just(Step::Shutdown),
    ]
}

fn to_claims(claims: Vec<(i64, i64)>) -> Vec<Claim> {
    claims.into_iter().map(|(id, lease)| Claim { delivery: DeliveryId(id), lease: Lease(lease) }).collect()
}

fn to_delivery((trigger, id, lease, attempt, depth): (i64, i64, i64, u32, u32)) -> Delivery {
    Delivery { lease: Lease(lease), attempt, event: event(depth), ..delivery(trigger, id) }
}

fn to_result(answer: Answer) -> Result<Reply, StoreError> {
    Ok(match answer {
        Answer::Exchange { fenced, conflicted, claimed } => Reply::Exchange(ExchangeReply {
            now: NOW,
            fenced: to_claims(fenced),
            conflicted: to_claims(conflicted),
            claimed: claimed.into_iter().map(to_delivery).collect(),
            woken_lanes: vec![TriggerId(1)],
        }),
        Answer::Begin { begun, refused } => Reply::BeginCalls(BeginCallsReply {
            now: NOW,
            deliveries: begun
                .into_iter()
                .map(|(seq, id, lease)| Delivery {
                    lease: Lease(lease),
                    reply_to: Some(caller(seq)),
                    ..delivery(9, id)
                })
                .collect(),
            refused: refused.iter().map(|seq| (caller(*seq), Refusal::Busy)).collect(),
            repeated: refused
                .iter()
                .map(|seq| (caller(seq + 1), SyncReply { execution: None, result: Ok(None) }))
                .collect(),
        }),
        Answer::Renew { fenced } => Reply::Renew(RenewReply { now: NOW, fenced: to_claims(fenced) }),
        Answer::Discover { lanes } => Reply::Discover(DiscoverReply {
            now: NOW,
            lanes: lanes
                .into_iter()
                .map(|(trigger, due, max_concurrency)| LaneState {
                    trigger: TriggerId(trigger),
                    next_due: Timestamp(due),
                    max_concurrency,
                })
                .collect(),
            schedules: vec![schedule(Some(NOW))],
        }),
        Answer::Tick => Reply::Tick(TickReply { now: NOW, woken_lanes: vec![TriggerId(2)] }),
        Answer::Fail(true) => return Err(StoreError::unknown("reset")),
        Answer::Fail(false) => return Err(StoreError::not_applied(StoreErrorKind::Contention, "deadlock")),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic_or_pass_its_permits(steps in prop::collection::vec(step(), 1..120)) {
        let mut dispatcher = Dispatcher::new(config(|_| ()), boot(), Mono(0));
        let mut now = Mono(0);
        let mut limits = GateLimits { permits: 4, sync_reserve: 0 };
        // A caller is admitted before its row is written: the limits of then count, and any that came since.
        let mut for_calls = limits.permits;
        let (mut last_seq, mut running, mut of_lanes) = (0_u64, BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let op = |back: u64| OpId { incarnation: boot().incarnation, seq: last_seq.saturating_sub(back) };
            let input = match step {
                Step::Pass(by) => { now = now.plus(Micros(by)); Input::Tick }
                Step::Wake(lanes, discover) => {
                    Input::WakeUp { lanes: lanes.into_iter().map(TriggerId).collect(), discover }
                }
                Step::Carry(claimed, ago) => Input::InlineClaim {
                    claimed: claimed.into_iter().map(to_delivery).collect(),
                    begun_at: Mono(now.0.saturating_sub(ago)),
                },
                Step::Answer(back, answer) => Input::StoreAnswered { op: op(back), result: to_result(answer) },
                Step::End(back, ok) => {
                    let outcome = if ok { succeeded() } else { failed(ExecError::ScriptError) };
                    Input::ExecutionEnded { op: op(back), outcome }
                }
                Step::Gate(permits, sync_reserve) => Input::GateChanged { limits: GateLimits { permits, sync_reserve } },
                Step::Call(seq, depth) => Input::SyncCalled { call: std::sync::Arc::new(call(seq, depth)) },
                Step::Hangup(seq) => Input::CallerGone { inbox: caller(seq) },
                Step::Delivered(back, delivered) => Input::ReplyDelivered { op: op(back), delivered },
                Step::Shutdown => Input::ShutdownRequested,
            };
            let (ended, changed) = match &input {
                Input::ExecutionEnded { op, .. } => (Some(*op), None),
                Input::GateChanged { limits } => (None, Some(*limits)),
                _ => (None, None),
            };
            let disposition = dispatcher.handle(now, input);
            if disposition == Disposition::Accepted {
                limits = changed.unwrap_or(limits);
                for_calls = for_calls.max(limits.permits);
            }
            if let Some(op) = ended {
                prop_assert_eq!(running.remove(&op), disposition == Disposition::Accepted);
            }
            let mut polls = 0;
            loop {
                polls += 1;
                prop_assert!(polls < 10_000, "poll never says Idle");
                match dispatcher.poll() {
                    Output::Action(Action::Execute { op, delivery }) => {
                        prop_assert!(running.insert(op));
                        let permits = if delivery.reply_to.is_some() { for_calls } else { limits.permits };
                        prop_assert!(running.len() as u32 <= permits, "{} run", running.len());
                        if delivery.reply_to.is_none() {
                            of_lanes.insert(op);
                            let of_lanes = of_lanes.intersection(&running).count() as u32;
                            prop_assert!(of_lanes <= limits.for_async(), "{of_lanes} async ones run");
                        }
                        last_seq = last_seq.max(op.seq);
                    }
                    Output::Action(Action::Cancel { op }) => prop_assert!(running.remove(&op)),
                    Output::Action(Action::CallStore { op, request }) => {
                        if let Request::BeginCalls { .. } = request {
                            for_calls = limits.permits;
                        }
                        last_seq = last_seq.max(op.seq);
                    }
                    Output::Action(Action::Reply { op, .. }) => last_seq = last_seq.max(op.seq),
                    Output::Fact(_) => {}
                    Output::Idle { wake_at, .. } => {
                        prop_assert!(wake_at.is_none_or(|at| at > now || now == Mono(u64::MAX)));
                        break;
                    }
                    Output::Stopped => break,
                }
            }
            // A call whose row is being written has its permit already.
            prop_assert!(dispatcher.view().running as usize >= running.len());
        }
    }
}
