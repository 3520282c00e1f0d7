//! The program `tidegate`, without native handlers.

use std::process::ExitCode;
use tidegate::{NativeHandlers, main_with};

/// Claimed rows and requests are allocated by one thread and freed by another. The system allocator
/// takes locks for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    main_with(NativeHandlers::default())
}
