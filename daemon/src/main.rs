//! The program `tidegate`, without native handlers.

use std::process::ExitCode;
use tidegate::{NativeHandlers, main_with};

fn main() -> ExitCode {
    main_with(NativeHandlers::default())
}
