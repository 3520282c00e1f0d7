//! A quick look, enough to notice that something in the core is not what it was: the only test that mutants of the core
//! have to pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate_sim_tests::{Keep, Plan, Probes, Profile, one_by_one, run};

const SEEDS: u64 = 700;

/// What a run costs, over all seeds: neither more nor less of it, or a rule has changed that no promise speaks of.
#[derive(Debug, Default)]
struct Cost {
    store_calls: u64,
    milliseconds: u64,
}

/// Plans that were played to their end.
static PLAYED: AtomicU64 = AtomicU64::new(0);
/// A plan takes milliseconds. A core that never comes back from one input cannot be stopped but with its process.
const HANGS_AFTER: Duration = Duration::from_secs(10);

fn watch() {
    std::thread::spawn(|| {
        let mut before = u64::MAX;
        loop {
            let played = PLAYED.load(Ordering::Relaxed);
            if played == before {
                eprintln!("after {played} plans the core hangs");
                std::process::exit(101);
            }
            before = played;
            std::thread::sleep(HANGS_AFTER);
        }
    });
}

fn play(plan: &Plan, cost: &mut Cost, probes: &mut Probes) {
    let outcome = run(plan, Keep::Nothing);
    assert_eq!(outcome.violation, None, "{plan:?}");
    cost.store_calls += outcome.applied;
    cost.milliseconds += outcome.lasted / 1_000;
    probes.add(&outcome.probes);
    PLAYED.fetch_add(1, Ordering::Relaxed);
}

#[track_caller]
fn check(what: &str, is: u64, expected: u64) {
    let is_near = is.abs_diff(expected) * 20 <= expected;
    assert!(is_near, "{what}: {is} for each seed, it was {expected}; if that is meant, say so here");
}

#[test]
fn a_few_seeds_of_each_workload() {
    watch();
    let (mut cost, mut probes) = (Cost::default(), Probes::default());
    for plan in one_by_one(30) {
        play(&plan, &mut Cost::default(), &mut Probes::default());
    }
    for seed in 0..SEEDS {
        play(&Plan::of(Profile::Mixed, seed), &mut cost, &mut probes);
    }
    assert_eq!(probes.silent(), []);
    for profile in [Profile::Jitter, Profile::Gate, Profile::Loops] {
        for seed in 0..SEEDS / 4 {
            play(&Plan::of(profile, seed), &mut cost, &mut probes);
        }
    }
    assert_eq!(probes.jitter().objection(), None);
    check("store calls", cost.store_calls / SEEDS, 507);
    check("simulated milliseconds", cost.milliseconds / SEEDS, 10_883);
}
