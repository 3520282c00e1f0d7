//! No seed breaks a promise.

use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_sim_tests::{Options, Plan, Probes, Profile, TraceMode, exhaustive, one_by_one, run, shrink};

/// Seeds of each test run. Raise it as the simulation gets faster.
const SEEDS: u64 = 20_000;

/// Plays seeds on all cores. Panics with the shrunk plan of a failing seed.
fn play(profile: Profile, seeds: u64) -> Probes {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let worker = || {
        let (mut probes, mut played) = (Probes::default(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return (played, probes, None);
            }
            let outcome = run(&Plan::of(profile, seed), TraceMode::Nothing);
            played += 1;
            probes.add(&outcome.probes);
            if outcome.violation.is_some() {
                next.store(seeds, Ordering::Relaxed);
                return (played, probes, Some(seed));
            }
        }
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a world does not panic")).collect()
    });
    if let Some(seed) = done.iter().filter_map(|(_, _, failed)| *failed).min() {
        fail(&Plan::of(profile, seed));
    }
    let mut all = Probes::default();
    done.iter().for_each(|(_, probes, _)| all.add(probes));
    assert_eq!(done.iter().map(|(played, _, _)| played).sum::<u64>(), seeds, "every seed runs");
    assert_eq!(all.jitter().objection(), None);
    all
}

/// Prints the shrunk form of a failing plan.
fn fail(plan: &Plan) -> ! {
    let smallest = shrink(plan, Options::default());
    let outcome = run(&smallest, TraceMode::Timeline);
    let plan = serde_json::to_string_pretty(&smallest).expect("a plan is data");
    panic!("{:?}\n{}\n{plan}", outcome.violation, outcome.timeline.join("\n"));
}

#[test]
fn no_seed_breaks_a_promise() {
    assert_eq!(play(Profile::Mixed, SEEDS).silent(), []);
}

#[test]
fn jitter_is_uniform_within_its_bounds() {
    let probes = play(Profile::Jitter, SEEDS / 10);
    assert!(probes.jitter().draws() > 10_000, "{} jitters are too few", probes.jitter().draws());
}

#[test]
fn a_full_gate_admits_no_execution_and_drops_none() {
    use tidegate_sim_tests::Probe;
    let probes = play(Profile::Gate, SEEDS / 10);
    for probe in [Probe::GateFull, Probe::ReserveLeft, Probe::GateLowered, Probe::CallRefused, Probe::Deferred] {
        assert!(probes.of(probe) > 100, "{} happened {} times", probe.what(), probes.of(probe));
    }
}

#[test]
fn loops_end_at_their_depth() {
    use tidegate_sim_tests::Probe;
    assert!(play(Profile::Loops, SEEDS / 10).of(Probe::Dropped) > 10_000);
}

#[test]
fn answers_that_overtake_each_other_are_distinguished() {
    use tidegate_sim_tests::Probe;
    let came_back = play(Profile::Overlap, SEEDS / 10).of(Probe::CameBack);
    assert!(came_back > 100, "{came_back} rows came back before their settlement was answered");
}

#[test]
fn daemons_that_die_at_every_point_lose_nothing() {
    use tidegate_sim_tests::Probe;
    let probes = play(Profile::Crash, SEEDS / 20);
    for probe in [Probe::CrashedStarting, Probe::CrashedRunning, Probe::CrashedSettled, Probe::PoisonDied] {
        assert!(probes.of(probe) > 100, "{} happened {} times", probe.what(), probes.of(probe));
    }
}

#[test]
fn busy_lanes_share_the_permits_with_others() {
    use tidegate_sim_tests::Probe;
    assert!(play(Profile::Fair, SEEDS / 20).of(Probe::Rationed) > 1_000);
}

#[test]
fn a_fault_at_every_store_call_is_survived() {
    let mut played = 0;
    for plan in one_by_one(40).chain(exhaustive(6)) {
        played += 1;
        if run(&plan, TraceMode::Nothing).violation.is_some() {
            fail(&plan);
        }
    }
    assert!(played > 1_000, "only {played} plans");
}
