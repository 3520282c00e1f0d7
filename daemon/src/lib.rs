//! The daemon as a library: a program that embeds it is the same program with native handlers.

pub mod cli;
pub mod config;
pub mod http;
mod manifest;
mod native;
pub mod server;
pub mod services;
mod token;
mod wall_clock;

pub use native::{NativeContext, NativeHandlers};

use std::process::ExitCode;

/// Runs the command line of this process, with these native handlers.
#[must_use]
pub fn main_with(native: NativeHandlers) -> ExitCode {
    cli::run(std::env::args_os(), native)
}
