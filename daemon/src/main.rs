//! The program `tidegate`, without native handlers.

use std::process::ExitCode;
use tidegate::{NativeHandlers, main_with};

/// What one thread makes and another drops, as claimed rows and requests are, costs the system's allocator its locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    main_with(NativeHandlers::default())
}
