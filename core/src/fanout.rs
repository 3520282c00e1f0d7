//! Event × triggers → deliveries: the rule in plain Rust. The stores do the same in SQL, in the event's transaction.

use crate::event::Event;
use crate::trigger::Trigger;

/// The triggers that get a delivery of `event`: of its app, enabled, matching. A paused trigger gets its rows, they wait.
pub fn matching<'a>(
    event: &'a Event,
    triggers: impl IntoIterator<Item = &'a Trigger>,
) -> impl Iterator<Item = &'a Trigger> {
    triggers
        .into_iter()
        .filter(|trigger| trigger.spec.enabled && trigger.app == event.app && trigger.spec.rule.matches(event))
}
