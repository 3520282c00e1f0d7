use std::future::Future;
use std::sync::Arc;
use tidegate_core::{Delivery, Outcome};

/// Runs the handlers of triggers.
pub trait Executor: Send + Sync + 'static {
    /// Executes one attempt of `delivery` and returns its outcome, soon after its timeout at the
    /// latest.
    ///
    /// The writes and events of the handler are only staged in the outcome. Dropping the future
    /// cancels the execution. The driver turns a panic into a failure with the code `internal`.
    fn execute(&self, delivery: Arc<Delivery>) -> impl Future<Output = Outcome> + Send;
}
