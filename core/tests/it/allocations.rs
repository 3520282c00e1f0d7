//! The number of allocations that the core makes for a delivery. Unlike time it does not depend on
//! the machine.

use crate::bench::{claimed, discovered};
use crate::fixtures::*;
use allocation_counter::measure;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use tidegate_core::*;

const ROWS: i64 = 4_000;
/// The limits for 1,000 deliveries: the part of each in maps and batches. The store allocates the
/// delivery itself.
const ALLOCATIONS: RangeInclusive<u64> = 300..=650;

#[test]
fn a_delivery_needs_few_allocations() {
    let mut dispatcher = Dispatcher::new(config(|spec| spec.gate.permits = 200), boot(), Mono(0));
    let (mut now, mut allocations, mut made) = (Mono(0), 0, 0);
    let mut inputs = VecDeque::from([Input::WakeUp { lanes: vec![TriggerId(1)], discover: false }]);
    let mut outputs = Vec::with_capacity(10_000);
    // Inputs are made outside of the measurement, and outputs go to a vector with capacity. So only
    // allocations of the core are counted.
    while let Some(input) = inputs.pop_front() {
        now = now.plus(Micros(100));
        let mut input = Some(input);
        let counted = measure(|| {
            dispatcher.handle(now, input.take().expect("the closure runs once"));
            loop {
                match dispatcher.poll() {
                    Output::Idle { .. } | Output::Stopped => return,
                    output => outputs.push(output),
                }
            }
        });
        allocations += counted.count_total;
        for output in outputs.drain(..) {
            inputs.extend(match output {
                Output::Action(Action::CallStore { op, request }) => {
                    Some(Input::StoreAnswered { op, result: Ok(reply(request, &mut made)) })
                }
                Output::Action(Action::Execute { op, .. }) => {
                    Some(Input::ExecutionEnded { op, outcome: succeeded(), start_wait: Micros::ZERO })
                }
                _ => None,
            });
        }
    }
    let view = dispatcher.view();
    assert_eq!((made, view.held, view.settling), (ROWS, 0, 0), "every row was claimed and settled");
    let permille = allocations * 1_000 / ROWS as u64;
    assert!(ALLOCATIONS.contains(&permille), "{permille} allocations for 1,000 deliveries");
}

fn reply(request: Request, made: &mut i64) -> Reply {
    match request {
        Request::Exchange { claim, .. } => {
            let requested = claim.iter().map(|quota| i64::from(quota.quota)).sum::<i64>();
            let first = *made;
            *made = ROWS.min(first + requested);
            claimed((first..*made).map(|id| delivery(1, id)).collect())
        }
        _ if *made < ROWS => discovered(&[(1, NOW)]),
        _ => discovered(&[]),
    }
}
