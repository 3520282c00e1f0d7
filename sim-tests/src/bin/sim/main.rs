//! The runner behind `cargo xtask sim`. Built with `--cfg madsim` it simulates whole drivers (tier
//! 2), otherwise dispatchers (tier 1).

#[cfg(madsim)]
mod cluster;
#[cfg(not(madsim))]
mod many;
#[cfg(not(madsim))]
mod one;
#[cfg(not(madsim))]
mod probes;
mod progress;
#[cfg(not(madsim))]
mod sabotage;
#[cfg(not(madsim))]
mod tier_1;
#[cfg(madsim)]
mod tier_2;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tidegate_sim_tests::Profile;
#[cfg(not(madsim))]
use tier_1 as tier;
#[cfg(madsim)]
use tier_2 as tier;

/// A seed makes ten thousand small allocations on one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulate clusters under every fault and check every step
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    task: Option<tier::Task>,
    /// The number of seeds
    #[arg(long, default_value_t = tier::SEEDS)]
    seeds: u64,
    /// Play only this seed and print its timeline
    #[arg(long, conflicts_with_all = ["plan", "seeds", "from"])]
    seed: Option<u64>,
    /// Play only the plan in this file and print its timeline
    #[arg(long, conflicts_with_all = ["seeds", "from", "profile"])]
    plan: Option<PathBuf>,
    /// The number of the first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The kind of step that dominates
    #[arg(long, default_value = "mixed", value_parser = profiles())]
    profile: Profile,
    /// The number of threads; all cores by default
    #[arg(long, global = true)]
    threads: Option<usize>,
}

/// Parses the name of a profile. The help lists the names.
fn profiles() -> impl clap::builder::TypedValueParser<Value = Profile> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    let names = Profile::ALL.map(|profile| clap::builder::PossibleValue::new(profile.name()).help(profile.what()));
    PossibleValuesParser::new(names).map(|name| Profile::from_name(&name).expect("the parser admits only names"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if tier::run(&args, threads) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
