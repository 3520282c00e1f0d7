//! The tasks of tier 1.

use crate::{Args, many, one, probes, sabotage};
use clap::Subcommand;

/// The number of seeds of a run.
pub(crate) const SEEDS: u64 = 20_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
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
    /// Print the hash of each run, to compare processes and builds
    Hash {
        /// The number of seeds
        #[arg(long, default_value_t = 100)]
        seeds: u64,
    },
}

pub(crate) fn run(args: &Args, threads: usize) -> bool {
    match &args.task {
        Some(Task::Probes { seeds }) => probes::show(*seeds, threads),
        Some(Task::Sabotage { without }) => sabotage::show(*without, threads),
        Some(Task::Exhaustive { calls }) => many::exhaust(*calls),
        Some(Task::Hash { seeds }) => probes::hash(*seeds),
        None => match (&args.plan, args.seed) {
            (Some(path), _) => one::file(path),
            (None, Some(seed)) => one::seed(args.profile, seed),
            (None, None) => many::show(args.profile, args.from, args.seeds, threads),
        },
    }
}
