//! Checks that the core compiles for a target without an operating system.

use crate::steps::Failure;
use crate::workspace::{cargo, run};
use std::path::Path;
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Compiles the core for the target, if it is installed. Returns a sentence for the summary.
pub(super) fn check_core() -> Result<String, Failure> {
    if !is_installed() {
        return Ok(format!(
            "core has no IO crate in its tree ({TARGET} is not installed, so core was not compiled for it)"
        ));
    }
    let advice = "remove IO, clocks and OS randomness from the core: it must compile without an operating system";
    run(cargo().args(["check", "--quiet", "--package", "tidegate-core", "--target", TARGET]), advice)?;
    Ok(format!("core compiles for {TARGET}"))
}

fn is_installed() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
