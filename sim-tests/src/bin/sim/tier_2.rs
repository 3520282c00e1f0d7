//! The tasks of tier 2. Each seed has its own process, because the simulated runtime keeps state in
//! global variables.

use crate::cluster::{self, Run, Tally};
use crate::{Args, profiles};
use clap::Subcommand;
use std::path::PathBuf;
use std::time::Instant;
use tidegate_sim_tests::{Bug, Probe, Profile, TraceMode};

/// The number of seeds of a run.
pub(crate) const SEEDS: u64 = 2_000;
/// The seeds that two processes must play alike.
const SEEDS_PLAYED_TWICE: u64 = 20;
/// A bug that no seed of this range shows counts as missed.
const BUG_SEEDS_MAX: u64 = 2_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Count how often each probe fires
    Probes {
        /// The number of seeds
        #[arg(long, default_value_t = SEEDS)]
        seeds: u64,
    },
    /// Plant every bug and print the checker that catches it
    Sabotage,
    /// Play what CI plays: planted bugs, each seed of two processes alike, and every workload
    Suite {
        /// The number of seeds of all workloads together
        #[arg(long, default_value_t = SEEDS)]
        seeds: u64,
    },
    /// Play one plan in this process, and print the result as JSON
    #[command(hide = true)]
    Cluster {
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[arg(long, default_value = "mixed", value_parser = profiles())]
        profile: Profile,
        #[arg(long)]
        plan: Option<PathBuf>,
        /// Print the timeline of the run
        #[arg(long)]
        show: bool,
        /// Print the hash of the run
        #[arg(long)]
        hash: bool,
        /// The bug to plant, by name
        #[arg(long, value_parser = bug)]
        bug: Option<Bug>,
    },
}

fn bug(name: &str) -> Result<Bug, String> {
    let has_name = |bug: &&Bug| format!("{bug:?}") == name;
    Bug::ALL.iter().find(has_name).copied().ok_or_else(|| "no bug has this name".to_owned())
}

pub(crate) fn run(args: &Args, threads: usize) -> bool {
    match &args.task {
        Some(Task::Cluster { seed, profile, plan, show, hash, bug }) => {
            let mode = match (show, hash) {
                (true, _) => TraceMode::Timeline,
                (false, true) => TraceMode::Hash,
                (false, false) => TraceMode::Nothing,
            };
            cluster::play(&Run { profile: *profile, seed: *seed, plan: plan.clone(), bug: *bug, mode })
        }
        Some(Task::Probes { seeds }) => probes(&cluster::many(Profile::Mixed, 0, *seeds, threads), true),
        Some(Task::Sabotage) => sabotage(threads),
        Some(Task::Suite { seeds }) => suite(*seeds, threads),
        None => {
            let (profile, mode) = (args.profile, TraceMode::Timeline);
            let one = |seed, plan| cluster::play(&Run { profile, seed, plan, bug: None, mode });
            match (&args.plan, args.seed) {
                (Some(path), _) => one(0, Some(path.clone())),
                (None, Some(seed)) => one(seed, None),
                (None, None) => {
                    let started = Instant::now();
                    show(&cluster::many(profile, args.from, args.seeds, threads), started, threads)
                }
            }
        }
    }
}

/// Prints the counts of a run. Fails if a seed failed or the jitter is uneven.
fn show(tally: &Tally, started: Instant, threads: usize) -> bool {
    for (run, message) in &tally.failures {
        let (profile, seed) = (run.profile.name(), run.seed);
        println!("seed {seed} of {profile}: {message}");
        println!("  its timeline: cargo xtask sim --tier 2 --profile {profile} --seed {seed}");
    }
    let objection = tally.probes.jitter().objection();
    if let Some(what) = &objection {
        println!("jitter: {what}");
    }
    let took = started.elapsed().as_secs_f64();
    let (hours, per_second) = (tally.simulated as f64 / 3.6e9, tally.played as f64 / took);
    println!("{:.0} seeds per core and hour", per_second * 3_600.0 / threads as f64);
    let failed = tally.failures.len() + usize::from(objection.is_some());
    println!("{} seeds, {failed} failures, {per_second:.0} seeds/s, {hours:.1} simulated hours", tally.played);
    failed == 0
}

/// Fails if a probe stayed silent. Prints all counts, or only the silent probes.
fn probes(tally: &Tally, prints_all: bool) -> bool {
    let needed = || Probe::ALL.iter().filter(|probe| probe.is_in_tier_2());
    for probe in Probe::ALL.iter().filter(|_| prints_all) {
        let note = if probe.is_in_tier_2() { "" } else { " (tier 1 only)" };
        println!("{:>12}  {}{note}", tally.probes.of(*probe), probe.what());
    }
    let silent: Vec<&Probe> = needed().filter(|probe| tally.probes.of(**probe) == 0).collect();
    for probe in &silent {
        println!("never: {}", probe.what());
    }
    println!("{} of {} probes fired in {} seeds", needed().count() - silent.len(), needed().count(), tally.played);
    silent.is_empty() && tally.failures.is_empty()
}

/// Plants every bug of this tier.
fn sabotage(threads: usize) -> bool {
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| bug.is_in_tier_2()).collect();
    let mut caught = cluster::hunt_all(&bugs, BUG_SEEDS_MAX, threads);
    caught.sort_by_key(|(bug, _)| *bug);
    println!("{:<18} {:<10} {:>6}  the bug, and the checker's message", "bug", "caught by", "seeds");
    for (bug, caught) in &caught {
        let (by, seeds, message) = match caught {
            Some(caught) => (caught.by.as_str(), caught.seeds.to_string(), caught.what.as_str()),
            None => ("none", format!("> {BUG_SEEDS_MAX}"), ""),
        };
        let message: String = message.chars().take(100).collect();
        println!("{:<18} {by:<10} {seeds:>6}  {}: {message}", format!("{bug:?}"), bug.what());
    }
    let found = caught.iter().filter(|(_, caught)| caught.is_some()).count();
    println!("caught {found} of {} in tier 2", bugs.len());
    found == bugs.len()
}

/// Plays what CI plays. Half of the seeds have the mixed workload.
fn suite(seeds: u64, threads: usize) -> bool {
    let started = Instant::now();
    let agree = cluster::agree(SEEDS_PLAYED_TWICE);
    println!("two processes agree on {SEEDS_PLAYED_TWICE} seeds: {agree}");
    if !agree || !sabotage(threads) {
        return false;
    }
    println!("after {:.0} s: {seeds} seeds", started.elapsed().as_secs_f64());
    let began = Instant::now();
    let others = Profile::ALL.len() as u64 - 1;
    let mut all = Tally::default();
    for profile in Profile::ALL {
        let part = if profile == Profile::Mixed { seeds - seeds / 2 / others * others } else { seeds / 2 / others };
        all.add(cluster::many(profile, 0, part, threads));
    }
    let is_well = show(&all, began, threads);
    probes(&all, false) && is_well
}
