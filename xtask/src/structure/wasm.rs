//! That the core compiles where there is no operating system.

use crate::steps::Failure;
use crate::workspace::{cargo, run};
use std::path::Path;
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Compiles it there, if that target is installed; says what was done.
pub(super) fn check_core() -> Result<String, Failure> {
    if !is_installed() {
        return Ok(format!(
            "core has no IO crate in its tree ({TARGET} is not installed, so it was not compiled there)"
        ));
    }
    let advice = "the core must compile without an operating system: no IO, no clock, no OS randomness";
    run(cargo().args(["check", "--quiet", "--package", "tidegate-core", "--target", TARGET]), advice)?;
    Ok(format!("core compiles for {TARGET}"))
}

fn is_installed() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
