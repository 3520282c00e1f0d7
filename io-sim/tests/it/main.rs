//! The simulated store does what every store must do.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::Timestamp;
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
    let clock = || Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64);
    Fresh(Arc::new(SharedMemory::new(clock)))
}

tidegate_io_conformance::conformance!(fresh());
