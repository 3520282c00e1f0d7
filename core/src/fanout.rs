//! The rule that turns an event into deliveries. The stores apply the same rule in SQL, in the
//! transaction of the event.

use crate::event::Event;
use crate::trigger::Trigger;

/// The triggers that get a delivery of `event`: the enabled triggers of its app that match it.
///
/// A paused trigger gets its deliveries too. They wait until the trigger is resumed.
pub fn matching_triggers<'a>(
    event: &'a Event,
    triggers: impl IntoIterator<Item = &'a Trigger>,
) -> impl Iterator<Item = &'a Trigger> {
    triggers
        .into_iter()
        .filter(|trigger| trigger.spec.enabled && trigger.app == event.app && trigger.spec.rule.matches(event))
}
