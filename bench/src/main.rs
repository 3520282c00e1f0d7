//! The command `bench`. `cargo xtask bench` builds it together with the daemon and runs it.

use clap::Parser as _;
use std::process::ExitCode;
use tidegate_bench::{Args, run};

/// The daemon uses the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
