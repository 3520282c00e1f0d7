use crate::StartWait;
use std::future::Future;
use std::sync::Arc;
use tidegate_core::{Delivery, Outcome};

/// Runs the handlers of triggers.
pub trait Executor: Send + Sync + 'static {
    /// Executes one attempt of `delivery` and returns its outcome.
    ///
    /// The handler must start within `Config::start_wait_max`. Otherwise it must not start at all,
    /// and the outcome is [`Outcome::NotStarted`]. The executor calls [`StartWait::end`] when the
    /// handler begins. The timeout of the delivery counts from this moment, and the outcome is
    /// returned soon after the timeout at the latest.
    ///
    /// The writes and events of the handler are only staged in the outcome. Dropping the future
    /// cancels the execution. The driver turns a panic into a failure with the code `internal`.
    fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> impl Future<Output = Outcome> + Send;
}
