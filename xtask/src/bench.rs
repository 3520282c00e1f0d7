//! `cargo xtask bench`: builds the benchmark and the daemon that it measures in release mode, and
//! runs the benchmark.

use crate::steps::Failure;
use crate::workspace::{cargo, run, show};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Arguments for the benchmark.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// `--quick`, `--json FILE`, `--list`, `--report FOLDER`, scenarios; `--help` explains each.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds and runs the benchmark. One call of cargo builds both programs, so that their shared
/// crates are built once, with the same features.
pub(crate) fn run_bench(args: &BenchArgs) -> Result<(), Failure> {
    let mut build = cargo();
    build.args(["build", "--release", "--message-format", "json-render-diagnostics"]);
    build.args(["--package", "tidegate", "--bin", "tidegate", "--package", "tidegate-bench", "--bin", "bench"]);
    let line = show(&build);
    let output = build.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::new(format!("`{line}`: {error}"), "is cargo on the PATH?"))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{line}`: {}", output.status), "fix the errors above"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = |name| {
        let missing = || {
            Failure::new(format!("cargo built no program {name}"), "adapt xtask/src/bench.rs to this version of cargo")
        };
        executable(&messages, name).ok_or_else(missing)
    };
    let mut bench = Command::new(program("bench")?);
    bench.arg("--daemon").arg(program("tidegate")?).args(&args.args);
    run(&mut bench, "see the messages above for each scenario that was not measured")
}

/// The path of a built program, from the JSON messages of cargo.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = messages.filter(|message| message["target"]["name"] == name);
    found.find_map(|message| message["executable"].as_str().map(|path| Path::new(path).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_program_is_read_from_the_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"bench"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"tidegate"},"executable":"/t/tidegate"}
            {"reason":"compiler-artifact","target":{"name":"bench"},"executable":"/t/bench"}
            not JSON"#;
        assert_eq!(executable(messages, "bench"), Some(PathBuf::from("/t/bench")));
        assert_eq!(executable(messages, "none"), None);
    }
}
