//! `cargo xtask fuzz`: builds the fuzz targets with coverage and runs each of them for a while.
//!
//! `fuzz/` has the layout of cargo-fuzz. This command does without that program, so that it runs
//! with the compiler of the workspace.

use crate::steps::Failure;
use crate::workspace::{cargo, host, root, run};
use std::path::Path;
use std::process::Command;

/// The targets in `fuzz/targets`, in the order in which they run.
const TARGETS: [&str; 7] = ["names", "patterns", "cron", "cloud_events", "manifest", "replies", "http"];
/// Counters for each branch, and the operands of comparisons. libFuzzer reads both.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArgs {
    /// The minutes of all targets together, without the build.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// The targets to run. All run if none is named.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
}

/// The programs are built for the host by its name, so that build scripts get no coverage.
pub(crate) fn run_fuzz(args: &FuzzArgs) -> Result<(), Failure> {
    let targets: Vec<&str> =
        if args.targets.is_empty() { TARGETS.to_vec() } else { args.targets.iter().map(String::as_str).collect() };
    let (host, folder) = (host()?, root().join("target/fuzz"));
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    build.arg("--target-dir").arg(&folder).env("RUSTFLAGS", COVERAGE);
    for target in &targets {
        build.args(["--bin", target]);
    }
    run(&mut build, "fix the errors above; libFuzzer needs a C++ compiler")?;
    let programs = folder.join(host).join("release");
    let seconds = args.minutes * 60 / targets.len() as u64;
    targets.iter().try_for_each(|target| run_target(&programs.join(target), target, &folder, seconds))
}

/// Inputs that reach new code are kept in `target/fuzz/corpus`, and an input that fails in
/// `target/fuzz/failed`.
fn run_target(program: &Path, name: &str, folder: &Path, seconds: u64) -> Result<(), Failure> {
    println!("{name}: {seconds} s");
    let (corpus, failed) = (folder.join("corpus").join(name), folder.join("failed"));
    for folder in [&corpus, &failed] {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display()), "is the disk full?"))?;
    }
    let mut fuzz = Command::new(program);
    fuzz.current_dir(root()).arg(&corpus).arg(root().join("fuzz/corpus").join(name));
    fuzz.args([&format!("-max_total_time={seconds}"), "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]);
    fuzz.args(["-verbosity=0", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/{name}-", failed.display()));
    run(&mut fuzz, "the input that failed is named above; add it to fuzz/corpus with the fix")
}
