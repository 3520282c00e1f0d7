//! Runs the conformance suite on the store in memory.

use std::sync::Arc;
use tidegate_io_conformance::World;
use tidegate_io_sim::SharedMemory;

struct EmptyStore(Arc<SharedMemory>);

impl World for EmptyStore {
    type Store = SharedMemory;

    fn store(&self) -> Arc<SharedMemory> {
        Arc::clone(&self.0)
    }
}

fn empty_store() -> EmptyStore {
    EmptyStore(Arc::new(SharedMemory::by_wall_clock()))
}

tidegate_io_conformance::conformance!(empty_store());
