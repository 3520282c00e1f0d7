//! Plays many seeds on all cores.

use crate::one;
use crate::progress::bar;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tidegate_sim_tests::{Plan, Probe, Probes, Profile, TraceMode, Violation, exhaustive, one_by_one, run};

/// The run stops after this many failures.
const FAILURES_MAX: usize = 5;

/// The combined result of many seeds.
pub(crate) struct Tally {
    pub(crate) probes: Probes,
    pub(crate) failures: Vec<(u64, Violation)>,
    pub(crate) played: u64,
    pub(crate) simulated: u64,
}

/// Plays `seeds` seeds, starting with `from`.
pub(crate) fn play(profile: Profile, from: u64, seeds: u64, threads: usize) -> Tally {
    let progress = bar(seeds, "seeds");
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let worker = || {
        let mut tally = Tally { probes: Probes::default(), failures: Vec::new(), played: 0, simulated: 0 };
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                break;
            }
            let outcome = run(&Plan::of(profile, seed), TraceMode::Nothing);
            tally.played += 1;
            tally.simulated += outcome.cost.lasted;
            tally.probes.add(&outcome.probes);
            progress.inc(1);
            if let Some(violation) = outcome.violation {
                progress.suspend(|| eprintln!("seed {seed}: {violation}"));
                tally.failures.push((seed, violation));
                stop.store(tally.failures.len() >= FAILURES_MAX, Ordering::Relaxed);
            }
        }
        tally
    };
    let mut tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a world does not panic")).collect()
    });
    progress.finish_and_clear();
    let mut whole = tallies.pop().expect("there is a thread at least");
    for tally in tallies {
        whole.probes.add(&tally.probes);
        whole.failures.extend(tally.failures);
        whole.played += tally.played;
        whole.simulated += tally.simulated;
    }
    whole.failures.sort_by_key(|(seed, _)| *seed);
    whole
}

/// Plays seeds and prints the failures.
pub(crate) fn show(profile: Profile, from: u64, seeds: u64, threads: usize) -> bool {
    println!("seeds {from} to {} of the workload {}, on {threads} threads", from + seeds - 1, profile.name());
    let started = Instant::now();
    let Tally { probes, failures, played, simulated } = play(profile, from, seeds, threads);
    let took = started.elapsed().as_secs_f64();
    if let Some((seed, _)) = failures.first() {
        one::explain(&Plan::of(profile, *seed));
    }
    let objection = probes.jitter().objection();
    if let Some(what) = &objection {
        println!("jitter: {what}");
    }
    let per_second = played as f64 / took;
    let hours = simulated as f64 / 3.6e9;
    let fired = Probe::ALL.len() - probes.silent().len();
    println!("{fired} of {} probes fired", Probe::ALL.len());
    println!("{:.0} seeds per core and hour", per_second * 3_600.0 / threads as f64);
    let failed = failures.len() + usize::from(objection.is_some());
    println!("{played} seeds, {failed} failures, {per_second:.0} seeds/s, {hours:.1} simulated hours");
    failed == 0
}

/// Plays every plan of the exhaustive scenario.
pub(crate) fn exhaust(calls: u64) -> bool {
    let mut played = 0;
    for plan in one_by_one(calls).chain(exhaustive(calls)) {
        played += 1;
        if run(&plan, TraceMode::Nothing).violation.is_some() {
            one::explain(&plan);
            return false;
        }
    }
    println!("{played} plans, 0 failures");
    true
}
