//! Reduces a failing plan to a small plan that breaks the same promise.

use crate::plan::{Plan, Step};
use crate::run::play;
use crate::world::Options;

/// Removes everything that the failure does not need, as long as the same checker fails.
#[must_use]
pub fn shrink(plan: &Plan, options: Options<'_>) -> Plan {
    let Some(broken) = play(plan, options).violation else { return plan.clone() };
    let fails = |plan: &Plan| play(plan, options).violation.is_some_and(|other| other.checker == broken.checker);
    let mut smallest = plan.clone();
    loop {
        let before = smallest.clone();
        smallest = without(smallest, |plan| &mut plan.faults, &fails);
        smallest = without(smallest, |plan| &mut plan.steps, &fails);
        smallest = with_less(smallest, &fails);
        if smallest == before {
            return smallest;
        }
    }
}

/// Tries smaller counts of events, and an earlier end of all faults.
fn with_less(plan: Plan, fails: &impl Fn(&Plan) -> bool) -> Plan {
    let steps = plan.steps.len();
    let mut smallest = plan;
    let mut attempt = |change: &dyn Fn(&mut Plan)| {
        let mut tried = smallest.clone();
        change(&mut tried);
        if tried != smallest && fails(&tried) {
            smallest = tried;
        }
    };
    attempt(&|plan| {
        let last = plan.steps.iter().map(|(at, _)| *at).chain(plan.faults.iter().map(|(at, _)| *at)).max();
        plan.heal_at = last.unwrap_or_default() + 1;
    });
    for at in 0..steps {
        for fewer in [1, 2] {
            attempt(&|plan| {
                if let Some((_, Step::Emit { count, .. })) = plan.steps.get_mut(at) {
                    *count = (*count).min(fewer);
                }
            });
        }
    }
    smallest
}

/// Tries to remove ranges of entries: halves first, then shorter ranges.
fn without<T: Clone>(plan: Plan, part: impl Fn(&mut Plan) -> &mut Vec<T>, fails: &impl Fn(&Plan) -> bool) -> Plan {
    let mut smallest = plan;
    let mut length = part(&mut smallest).len().max(1);
    while length > 0 {
        let mut from = 0;
        while from < part(&mut smallest).len() {
            let mut tried = smallest.clone();
            let entries = part(&mut tried);
            let to = (from + length).min(entries.len());
            entries.drain(from..to);
            if fails(&tried) {
                smallest = tried;
            } else {
                from += length;
            }
        }
        length /= 2;
    }
    smallest
}
