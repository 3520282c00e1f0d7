//! A quick look, enough to notice that something in the core is not what it was: the only test that mutants of the core
//! have to pass.

use tidegate_sim_tests::{Keep, Plan, Probes, Profile, one_by_one, run};

const SEEDS: u64 = 700;

/// What a run costs, over all seeds: neither more nor less of it, or a rule has changed that no promise speaks of.
#[derive(Debug, Default)]
struct Cost {
    store_calls: u64,
    milliseconds: u64,
}

fn play(plan: &Plan, cost: &mut Cost, probes: &mut Probes) {
    let outcome = run(plan, Keep::Nothing);
    assert_eq!(outcome.violation, None, "{plan:?}");
    cost.store_calls += outcome.applied;
    cost.milliseconds += outcome.lasted / 1_000;
    probes.add(&outcome.probes);
}

#[track_caller]
fn check(what: &str, is: u64, expected: u64) {
    let is_near = is.abs_diff(expected) * 20 <= expected;
    assert!(is_near, "{what}: {is} for each seed, it was {expected}; if that is meant, say so here");
}

#[test]
fn a_few_seeds_of_each_workload() {
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
