//! The start of a drain: a dispatcher finds the number of rows to claim ahead within few exchanges,
//! so that a short drain is almost as fast as a long one.

use crate::bench::*;
use crate::fixtures::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tidegate_core::*;

/// What the store needs for an exchange, besides its rows.
const ROUND_TRIP: Micros = Micros(2_000);
/// What the store needs for each settlement and each claimed row.
const PER_ROW: Micros = Micros(3);
/// One core runs the handlers, one after another.
const HANDLER: Micros = Micros(10);

/// A machine with one lane: a store that works on one call at a time, and one core for handlers.
struct Machine {
    bench: Bench,
    /// Inputs that will arrive, by time and number.
    arrivals: BinaryHeap<Reverse<(Mono, usize)>>,
    inputs: Vec<Option<Input>>,
    store_free_at: Mono,
    core_free_at: Mono,
    rows_left: i64,
    settled: i64,
}

impl Machine {
    fn new(rows: i64) -> Self {
        Self {
            bench: Bench::new(config(|spec| spec.gate = GateLimits::default())),
            arrivals: BinaryHeap::new(),
            inputs: Vec::new(),
            store_free_at: Mono(0),
            core_free_at: Mono(0),
            rows_left: rows,
            settled: 0,
        }
    }

    fn arrive(&mut self, at: Mono, input: Input) {
        self.arrivals.push(Reverse((at, self.inputs.len())));
        self.inputs.push(Some(input));
    }

    fn call_store(&mut self, op: OpId, request: Request) {
        let (reply, rows) = match request {
            Request::Exchange { settle, claim, .. } => {
                let quota = claim.first().map_or(0, |quota| i64::from(quota.quota)).min(self.rows_left);
                let rows = (self.rows_left - quota + 1..=self.rows_left).map(|id| delivery(1, id)).collect();
                self.rows_left -= quota;
                self.settled += settle.len() as i64;
                (claimed(rows), quota as u64 + settle.len() as u64)
            }
            Request::Discover => (discovered(if self.rows_left > 0 { &[(1, NOW)] } else { &[] }), 0),
            other => panic!("this test has no {}", other.name()),
        };
        self.store_free_at = self.store_free_at.max(self.bench.now).plus(ROUND_TRIP).plus(PER_ROW.saturating_mul(rows));
        self.arrive(self.store_free_at, Input::StoreAnswered { op, result: Ok(reply) });
    }

    /// The rows per second of a drain of `rows` rows.
    fn rate(rows: i64) -> u64 {
        let mut machine = Self::new(rows);
        while machine.settled < rows {
            for action in machine.bench.drain().actions {
                match action {
                    Action::CallStore { op, request } => machine.call_store(op, request),
                    Action::Execute { op, .. } => {
                        machine.core_free_at = machine.core_free_at.max(machine.bench.now).plus(HANDLER);
                        machine.arrive(
                            machine.core_free_at,
                            Input::ExecutionEnded { op, outcome: succeeded(), start_wait: Micros::ZERO },
                        );
                    }
                    other => panic!("a drain needs no {other:?}"),
                }
            }
            let Reverse((at, number)) = machine.arrivals.pop().expect("an answer is always on its way");
            machine.bench.now = at;
            let input = machine.inputs[number].take().expect("an input arrives once");
            machine.bench.dispatcher.handle(at, input);
        }
        rows as u64 * 1_000_000 / machine.bench.now.since(Mono(0)).0
    }
}

#[test]
fn a_short_drain_is_almost_as_fast_as_a_long_one() {
    let (short, long) = (Machine::rate(20_000), Machine::rate(100_000));
    assert!(short * 100 >= long * 90, "{short} rows/s in a drain of 20,000 rows, {long} in one of 100,000");
}
