//! The daemon as a library. A program that embeds the daemon adds native handlers to it.
//!
//! Each layer uses only the layers before it: `secrets`, `terminal` and `token`, `config`,
//! `services`, `http`, `server`, `cli`.

pub mod cli;
pub mod config;
pub mod http;
mod manifest;
mod native;
mod secrets;
pub mod server;
pub mod services;
mod terminal;
mod token;
mod trigger_rules;
mod wall_clock;

pub use native::{NativeContext, NativeHandlers};

use std::process::ExitCode;

/// Runs the command line of this process with these native handlers.
#[must_use]
pub fn main_with(native: NativeHandlers) -> ExitCode {
    cli::run(std::env::args_os(), native)
}

/// Functions for the fuzz targets only.
#[doc(hidden)]
pub mod fuzzing {
    /// Reads a `tidegate.toml` without scripts. The error is the list of its problems.
    pub fn parse_manifest(text: &str) -> Result<(), Vec<String>> {
        crate::manifest::check(text)
    }
}
