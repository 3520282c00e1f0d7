//! Counts the facts of the dispatcher. The log is written from the same facts.

use super::Metrics;
use super::names;
use metrics::{counter, histogram};
use tidegate_core::{Delivery, Ending, Fact, Micros};
use tidegate_ports::Observer;

/// Counts each fact, then passes it on to the observer `then`.
pub(crate) struct MetricsObserver<O> {
    pub(crate) metrics: Metrics,
    pub(crate) then: O,
}

impl<O: Observer> Observer for MetricsObserver<O> {
    fn observe(&mut self, fact: &Fact) {
        self.metrics.record(|| count(fact));
        self.then.observe(fact);
    }
}

fn labels(delivery: &Delivery) -> [(&'static str, String); 2] {
    [("app", delivery.event.app.to_string()), ("trigger", delivery.trigger_name.to_string())]
}

/// The labels of a delivery and one more label.
fn labels_and(delivery: &Delivery, name: &'static str, value: &'static str) -> [(&'static str, String); 3] {
    let [app, trigger] = labels(delivery);
    [app, trigger, (name, value.to_owned())]
}

fn seconds(time: Micros) -> f64 {
    time.0 as f64 / 1e6
}

fn count(fact: &Fact) {
    match fact {
        Fact::InlineClaim { claimed } => {
            counter!(names::CLAIMED).increment(u64::from(*claimed));
            counter!(names::CLAIMED_INLINE).increment(u64::from(*claimed));
        }
        Fact::ExchangeAnswered { claimed, .. } => counter!(names::CLAIMED).increment(u64::from(*claimed)),
        Fact::ExecutionStarted { delivery, waited } => {
            counter!(names::STARTED, &labels(delivery)).increment(1);
            histogram!(names::WAITED, &labels(delivery)).record(seconds(*waited));
        }
        Fact::DeliverySettled { delivery, ending, run } => {
            counter!(names::SETTLED, &labels_and(delivery, "ending", ending.as_str())).increment(1);
            if let Some(run) = run {
                let labels = labels(delivery);
                histogram!(names::START_WAIT, &labels).record(seconds(run.start_wait));
                histogram!(names::TOOK, &labels).record(seconds(run.duration));
            }
            count_ending(delivery, ending);
        }
        Fact::CallRefused { failure, .. } => {
            let code = failure.as_ref().map_or("caller_gone", |failure| failure.error.code());
            counter!(names::REFUSED, "code" => code).increment(1);
        }
        Fact::SettlementFenced { .. } => counter!(names::FENCED).increment(1),
        Fact::EffectsConflicted { delivery, .. } => counter!(names::CONFLICTED, &labels(delivery)).increment(1),
        Fact::LeaseLost { .. } => counter!(names::LOST).increment(1),
        Fact::HandlerNotStarted { delivery, .. } => counter!(names::NOT_STARTED, &labels(delivery)).increment(1),
        Fact::ExecutionOverran { delivery } => counter!(names::OVERRAN, &labels(delivery)).increment(1),
        Fact::CallRepeated { .. } => counter!(names::REPEATED).increment(1),
        Fact::SettlementRefused { delivery, .. } => {
            counter!(names::REFUSED_SETTLEMENTS, &labels(delivery)).increment(1);
        }
        Fact::StoreFailed { .. }
        | Fact::StoreRecovered { .. }
        | Fact::ExchangeRefused { .. }
        | Fact::CallsRefused { .. }
        | Fact::ShutdownStarted { .. } => {}
    }
}

fn count_ending(delivery: &Delivery, ending: &Ending) {
    match ending {
        Ending::Deferred { .. } => counter!(names::DEFERRED, &labels(delivery)).increment(1),
        Ending::Dropped => counter!(names::DROPPED, &labels_and(delivery, "reason", "depth")).increment(1),
        Ending::Dead { reason, .. } => {
            counter!(names::DEAD, &labels_and(delivery, "reason", reason.as_str())).increment(1);
        }
        Ending::Abandoned { cause } => {
            counter!(names::ABANDONED, &labels_and(delivery, "cause", cause.as_str())).increment(1);
        }
        Ending::Done
        | Ending::Retry { .. }
        | Ending::Handled
        | Ending::HandlerFailed { .. }
        | Ending::Replied { .. } => {}
    }
}
