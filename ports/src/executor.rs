use std::future::Future;
use std::sync::Arc;
use tidegate_core::{Delivery, Outcome};

/// Runs handlers.
pub trait Executor: Send + Sync + 'static {
    /// Executes one attempt of `delivery` and reports how it ended, at the latest a little after its timeout.
    ///
    /// What the handler writes and emits is only staged in the outcome. Dropping the future cancels the execution.
    /// A panic is an outcome too: the driver reports it as `internal`.
    fn execute(&self, delivery: Arc<Delivery>) -> impl Future<Output = Outcome> + Send;
}
