//! The store on SQLite answers random commands as the simulated store does, so that results of
//! simulations hold for SQLite too.

use super::fresh;
use std::sync::Arc;
use tidegate_io_conformance::{World, agree};
use tidegate_io_sim::SharedMemory;
use tokio::runtime::Runtime;

/// The least number of commands against each store.
const COMMANDS: u32 = 20_000;

struct Model(Arc<SharedMemory>);

impl World for Model {
    type Store = SharedMemory;

    fn store(&self) -> Arc<SharedMemory> {
        Arc::clone(&self.0)
    }
}

#[test]
fn random_commands_have_the_same_results_as_in_the_model() {
    let runtime = Runtime::new().expect("a runtime starts");
    let (model, store) = (Model(Arc::new(SharedMemory::by_wall_clock())), runtime.block_on(fresh()));
    agree(&runtime, &model, &store, COMMANDS);
    runtime.block_on(store.close());
}
