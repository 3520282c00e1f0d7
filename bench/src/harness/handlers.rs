//! Native handlers, as in a program that embeds Tidegate.

use std::sync::Arc;
use tidegate_core::{Delivery, Effects, Outcome};
use tidegate_ports::{Executor, StartWait};

/// A handler that succeeds without any work.
#[derive(Clone, Copy, Debug)]
pub struct Noop;

impl Executor for Noop {
    async fn execute(&self, _: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        start_wait.end();
        success()
    }
}

/// The outcome of a handler without effects.
pub(super) fn success() -> Outcome {
    Outcome::Succeeded { effects: Effects::default(), reply: None }
}
