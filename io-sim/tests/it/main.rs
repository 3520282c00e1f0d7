//! The simulated store does what every store must do.

use std::sync::Arc;
use tidegate_io_conformance::World;
use tidegate_io_sim::SharedMemory;

struct Fresh(Arc<SharedMemory>);

impl World for Fresh {
    type Store = SharedMemory;

    fn store(&self) -> Arc<SharedMemory> {
        Arc::clone(&self.0)
    }
}

fn fresh() -> Fresh {
    Fresh(Arc::new(SharedMemory::by_wall_clock()))
}

tidegate_io_conformance::conformance!(fresh());
