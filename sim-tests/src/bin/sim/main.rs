//! The runner behind `cargo xtask sim`.

#[cfg(madsim)]
mod cluster;
mod many;
mod one;
mod probes;
mod progress;
mod sabotage;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(madsim)]
use tidegate_sim_tests::Bug;
use tidegate_sim_tests::Profile;

/// A seed makes ten thousand small allocations on one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulate clusters under every fault and check every step
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    /// The number of seeds
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Play only this seed and print its timeline
    #[arg(long, conflicts_with = "plan")]
    seed: Option<u64>,
    /// Play only the plan in this file and print its timeline
    #[arg(long)]
    plan: Option<PathBuf>,
    /// The number of the first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The workload: mixed, jitter, gate, loops or overlap
    #[arg(long, default_value = "mixed", value_parser = profile)]
    profile: Profile,
    /// The number of threads; all cores by default
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Count how often each probe fires
    Probes {
        /// The number of seeds
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
    },
    /// Plant every bug and print the checker that catches it
    Sabotage {
        /// Also leave out each checker once: its bugs must pass
        #[arg(long)]
        without: bool,
    },
    /// Play three events with two faults at every two store calls
    Exhaustive {
        /// The number of store calls per daemon that get faults
        #[arg(long, default_value_t = 24)]
        calls: u64,
    },
    /// Play one seed of whole drivers on a simulated runtime
    #[cfg(madsim)]
    Cluster {
        /// The number of the seed
        seed: u64,
        /// Print the timeline of the run
        #[arg(long)]
        show: bool,
        /// Plant this bug in the store
        #[arg(long, value_parser = bug)]
        bug: Option<Bug>,
    },
    /// Play many seeds of whole drivers, each in its own process
    #[cfg(madsim)]
    Clusters {
        /// The number of seeds
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The number of the first seed
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Play only this seed and print its timeline
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Print the hash of each run, to compare processes and builds
    Hash {
        /// The number of seeds
        #[arg(long, default_value_t = 100)]
        seeds: u64,
    },
}

fn profile(name: &str) -> Result<Profile, String> {
    let names = || Profile::ALL.map(Profile::name).join(", ");
    Profile::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| format!("one of {}", names()))
}

#[cfg(madsim)]
fn bug(name: &str) -> Result<Bug, String> {
    let has_name = |bug: &&Bug| format!("{bug:?}") == name;
    Bug::ALL.iter().find(has_name).copied().ok_or_else(|| "no bug has this name".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let is_well = match &args.task {
        Some(Task::Probes { seeds }) => probes::show(*seeds, threads),
        Some(Task::Sabotage { without }) => sabotage::show(*without, threads),
        Some(Task::Exhaustive { calls }) => many::exhaust(*calls),
        #[cfg(madsim)]
        Some(Task::Cluster { seed, show, bug }) => cluster::play(*seed, *show, *bug),
        #[cfg(madsim)]
        Some(Task::Clusters { seed: Some(seed), .. }) => cluster::play(*seed, true, None),
        #[cfg(madsim)]
        Some(Task::Clusters { seeds, from, .. }) => cluster::check() && cluster::many(*from, *seeds, threads),
        Some(Task::Hash { seeds }) => probes::hash(*seeds),
        None => match (&args.plan, args.seed) {
            (Some(path), _) => one::file(path),
            (None, Some(seed)) => one::seed(args.profile, seed),
            (None, None) => many::show(args.profile, args.from, args.seeds, threads),
        },
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
