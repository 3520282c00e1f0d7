//! Automation in Rust. `cargo xtask test` runs the same checks and tests as CI.

mod bench;
mod commits;
mod cpu_limit;
mod fuzz;
mod licences;
mod mutants;
mod postgres;
mod programs;
mod prose;
mod rust_text;
mod sim;
mod steps;
mod structure;
mod test;
mod tests_run;
mod torture;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

/// Runs the checks, tests, simulations and benchmarks of Tidegate.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Checks the code and runs all tests on SQLite and on a throw-away Postgres, as CI does.
    Test(test::TestArgs),
    /// Simulates clusters under every fault: `--seeds N`, `--seed S`, `--plan FILE`, `probes`,
    /// `sabotage`, `exhaustive`.
    Sim(sim::SimArgs),
    /// Changes the core in one place at a time; the simulation must fail each time. Takes more than
    /// an hour of CPU time; `--shard K/N` runs a part.
    Mutants(mutants::MutantsArgs),
    /// Runs a program with a limited CPU time. `mutants` starts its tests with this task.
    #[command(hide = true)]
    LimitCpu(cpu_limit::LimitCpuArgs),
    /// Measures speed and compares it with the limits of this machine: `--quick`, `--list`,
    /// `--json FILE`, scenarios.
    Bench(bench::BenchArgs),
    /// Kills daemons and servers under load, and compares the store with a ledger of its own:
    /// `--minutes N`, `--store sqlite|postgres|both`, `--seed S`.
    Torture(torture::TortureArgs),
    /// Runs the fuzz targets: `--minutes N`, targets.
    Fuzz(fuzz::FuzzArgs),
    /// Checks only the rules of CONTRIBUTING.md: dependencies, homes of HTTP and SQL, function
    /// length, plain prose. Takes seconds.
    Structure,
    /// Prints the prose figures of the repository: `--by-crate`, `--list`, path prefixes.
    Prose(prose::ProseArgs),
    /// Starts a throw-away Postgres server and prints its address; Ctrl-C removes it.
    Postgres,
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Test(args) => test::run(&args),
        Task::Mutants(args) => mutants::run_mutants(&args),
        Task::LimitCpu(args) => cpu_limit::run_limited(&args),
        Task::Sim(args) => sim::run_sim(&args),
        Task::Bench(args) => bench::run_bench(&args),
        Task::Torture(args) => torture::run_torture(&args),
        Task::Fuzz(args) => fuzz::run_fuzz(&args),
        Task::Structure => {
            workspace::Workspace::load().and_then(|ours| structure::check(&ours)).map(|line| println!("{line}"))
        }
        Task::Prose(args) => prose::run(&args),
        Task::Postgres => postgres::serve(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}
