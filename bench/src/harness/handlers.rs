//! Native handlers, as an embedding program has them.

use std::sync::Arc;
use tidegate_core::{Delivery, Effects, Outcome};
use tidegate_ports::Executor;

/// Does nothing, successfully.
#[derive(Clone, Copy, Debug)]
pub struct Noop;

impl Executor for Noop {
    async fn execute(&self, _: Arc<Delivery>) -> Outcome {
        done()
    }
}

/// How a handler without effects ends.
pub(super) fn done() -> Outcome {
    Outcome::Succeeded { effects: Effects::default(), reply: None }
}
