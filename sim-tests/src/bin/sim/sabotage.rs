//! Tests of the checkers with planted bugs.

use crate::progress::bar;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tidegate_sim_tests::{Bug, Caught, Options, Plan, SEEDS_MAX, checkers, hunt, play, shrink};

/// Plants every bug. With `without`, also leaves out every checker once.
pub(crate) fn show(without: bool, threads: usize) -> bool {
    let bugs = Bug::ALL.iter().filter(|bug| bug.is_in_tier_1());
    let jobs: Vec<(Bug, Option<&'static str>)> = bugs.map(|bug| (*bug, None)).collect();
    let mut caught = all(&jobs, SEEDS_MAX, threads);
    caught.sort_by_key(|(bug, _, _)| *bug);
    println!("{:<18} {:<10} {:>6}  the bug, and the checker's message", "bug", "caught by", "seeds");
    for (bug, _, caught) in &caught {
        let (by, seeds, message) = match caught {
            Some(caught) => (caught.by, caught.seeds.to_string(), caught.what.clone()),
            None => ("none", format!("> {SEEDS_MAX}"), String::new()),
        };
        let message: String = message.chars().take(100).collect();
        println!("{:<18} {by:<10} {seeds:>6}  {}: {message}", format!("{bug:?}"), bug.what());
    }
    let mut seeds: Vec<u64> =
        caught.iter().map(|(_, _, caught)| caught.as_ref().map_or(u64::MAX, |caught| caught.seeds)).collect();
    seeds.sort_unstable();
    let found = seeds.iter().filter(|seeds| **seeds <= SEEDS_MAX).count();
    println!("median: {} seeds", seeds[seeds.len() / 2]);
    println!("{}", shrunk_sizes(&caught));
    let are_needed = !without || are_checkers_needed(threads);
    println!("caught {found} of {} in tier 1", seeds.len());
    found == seeds.len() && are_needed
}

/// The median size of the shrunk plans that show the bugs.
fn shrunk_sizes(caught: &[HuntResult]) -> String {
    let (mut faults, mut steps, mut slowest) = (Vec::new(), Vec::new(), 0.0_f64);
    for (bug, _, caught) in caught {
        let Some(caught) = caught else { continue };
        let (plan, options) =
            (Plan::of(bug.profile(), caught.seeds - 1), Options { bug: Some(*bug), ..Options::default() });
        let started = Instant::now();
        let smallest = shrink(&plan, options);
        if play(&smallest, options).violation.is_some() {
            slowest = slowest.max(started.elapsed().as_secs_f64());
            faults.push(smallest.faults.len());
            steps.push(smallest.steps.len());
        }
    }
    faults.sort_unstable();
    steps.sort_unstable();
    let median = |sizes: &[usize]| sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    format!("shrunk to a median of {} faults and {} steps, in {slowest:.1} s at most", median(&faults), median(&steps))
}

/// Returns true if, for each checker, at least one of its bugs passes without this checker.
fn are_checkers_needed(threads: usize) -> bool {
    let names = checkers().into_iter().chain(["jitter", "progress"]);
    let mut every = true;
    for name in names {
        let jobs: Vec<_> = Bug::ALL.iter().filter(|bug| bug.checker() == name).map(|bug| (*bug, Some(name))).collect();
        let (caught, passed): (Vec<HuntResult>, Vec<HuntResult>) =
            all(&jobs, 1_000, threads).into_iter().partition(|(_, _, caught)| caught.is_some());
        let bugs =
            |found: &[HuntResult]| found.iter().map(|(bug, _, _)| format!("{bug:?}")).collect::<Vec<_>>().join(", ");
        println!("without {name:<10} passed: {}", bugs(&passed));
        if passed.is_empty() {
            let others: Vec<&str> = caught.iter().filter_map(|(_, _, caught)| Some(caught.as_ref()?.by)).collect();
            println!("  none passed: {} are caught by {}", bugs(&caught), others.join(", "));
        }
        every &= !passed.is_empty();
    }
    every
}

type HuntResult = (Bug, Option<&'static str>, Option<Caught>);

fn all(jobs: &[(Bug, Option<&'static str>)], seeds_max: u64, threads: usize) -> Vec<HuntResult> {
    let progress = bar(jobs.len() as u64, "bugs");
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((bug, without)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = hunt(*bug, *without, seeds_max);
                    found.lock().expect("no worker panics").push((*bug, *without, caught));
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    found.into_inner().expect("no worker panics")
}
