//! One small scenario with every fault of a store call at every store call.

use crate::plan::{CallFault, CrashPoint, Fault, Plan, Settings, Step, StoreFault};
use tidegate_core::GateLimits;

const FAULTS: [CallFault; 4] = [
    CallFault::Crash(CrashPoint::Asking),
    CallFault::Crash(CrashPoint::Applied),
    CallFault::Store(StoreFault::Refused),
    CallFault::Store(StoreFault::AnswerLost),
];

/// Three events: a success, a death with a dead-letter handler, and a sync call.
fn scenario(faults: Vec<(u64, Fault)>) -> Plan {
    let gate = GateLimits { permits: 2, sync_reserve: 1, async_reserve: 0 };
    let emit = |to: &str| Step::Emit { to: to.to_owned(), count: 1, lag: 0 };
    let call = Step::Call { count: 1, daemon: 0, patience: 500_000, key: None };
    Plan {
        seed: 1,
        daemons: 2,
        settings: Settings { gate, lease_ms: 1_000, batch_max: 10 },
        steps: vec![(5_000, emit("count")), (5_500, emit("doomed")), (6_000, call)],
        faults,
        heal_at: 1_500_000,
    }
}

/// Every plan with one fault, at each of the first `calls` store calls of each daemon.
pub fn one_by_one(calls: u64) -> impl Iterator<Item = Plan> {
    let single = move |daemon| (1..=calls).flat_map(move |nth| FAULTS.map(|fault| Fault::Call { daemon, nth, fault }));
    (0..2).flat_map(single).map(|fault| scenario(vec![(0, fault)]))
}

/// Every plan with two faults, at different calls of one daemon or of both.
pub fn exhaustive(calls: u64) -> impl Iterator<Item = Plan> {
    one_by_one(calls).flat_map(move |first| {
        let before = first.faults[0].clone();
        one_by_one(calls).filter_map(move |second| {
            let after = second.faults[0].clone();
            let place = |(_, fault): &(u64, Fault)| match fault {
                Fault::Call { daemon, nth, .. } => (*daemon, *nth),
                _ => (0, 0),
            };
            (place(&before) < place(&after)).then(|| scenario(vec![before.clone(), after]))
        })
    })
}
