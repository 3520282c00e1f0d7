//! The runner: `cargo xtask sim`.

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

/// A seed allocates and frees ten thousand small things, all on one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulated clusters under every fault, checked at each step.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    /// How many seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only this seed, as a timeline.
    #[arg(long, conflicts_with = "plan")]
    seed: Option<u64>,
    /// Only this plan, as a timeline.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The workload.
    #[arg(long, default_value = "mixed", value_parser = profile)]
    profile: Profile,
    /// How many threads; all cores if left out.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// How often each thing happened that has to happen sometimes.
    Probes {
        /// How many seeds.
        #[arg(long, default_value_t = 100_000)]
        seeds: u64,
    },
    /// Plants one bug after the other and looks who catches it.
    Sabotage {
        /// Also leaves out one checker after the other: each must be missed.
        #[arg(long)]
        without: bool,
    },
    /// Three events, with two faults at every two store calls.
    Exhaustive {
        /// How many of each daemon's first store calls.
        #[arg(long, default_value_t = 24)]
        calls: u64,
    },
    /// One seed of whole drivers on a simulated runtime.
    #[cfg(madsim)]
    Cluster {
        /// Which.
        seed: u64,
        /// Shows the timeline.
        #[arg(long)]
        show: bool,
        /// With this bug in the store.
        #[arg(long, value_parser = bug)]
        bug: Option<Bug>,
    },
    /// Many seeds of whole drivers, a process for each.
    #[cfg(madsim)]
    Clusters {
        /// How many.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Only this one, as a timeline.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// The hash of everything that happened, for comparing processes and builds.
    Hash {
        /// How many seeds.
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
    let is = |bug: &&Bug| format!("{bug:?}") == name;
    Bug::ALL.iter().find(is).copied().ok_or_else(|| "no bug has this name".to_owned())
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
