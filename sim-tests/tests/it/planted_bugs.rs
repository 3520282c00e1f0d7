//! Planted bugs are caught, and a failing plan shrinks to a readable size.

use tidegate_sim_tests::{Bug, Options, Plan, hunt, play, shrink};

#[test]
fn every_planted_bug_is_caught() {
    let mut seeds = Vec::new();
    for bug in Bug::ALL.iter().filter(|bug| bug.is_in_tier_1()) {
        let caught = hunt(*bug, None, 1_000);
        let caught = caught.unwrap_or_else(|| panic!("no checker caught {bug:?}: {}", bug.what()));
        seeds.push(caught.seeds);
    }
    seeds.sort_unstable();
    assert!(seeds.len() >= 30 && seeds[seeds.len() / 2] <= 100, "{seeds:?}");
}

/// Seeds that a bug gets at least without the fault that it needs.
const SEEDS_WITHOUT_FAULT: u64 = 100;

#[test]
fn a_bug_of_a_fault_shows_only_with_this_fault() {
    let mut bugs = 0;
    for bug in Bug::ALL {
        let options = Options { bug: Some(*bug), ..Options::default() };
        let without_fault = |seed| bug.without_its_fault(&Plan::of(bug.profile(), seed));
        if without_fault(0).is_none() {
            continue;
        }
        bugs += 1;
        let caught = hunt(*bug, None, 1_000).unwrap_or_else(|| panic!("no checker caught {bug:?}"));
        for seed in 0..caught.seeds.max(SEEDS_WITHOUT_FAULT) {
            let plan = without_fault(seed).expect("the bug needs a fault");
            assert_eq!(play(&plan, options).violation, None, "{bug:?} shows without its fault, with seed {seed}");
        }
    }
    assert!(bugs >= 10, "{bugs} bugs prove a fault");
}

#[test]
fn a_failing_plan_shrinks_to_a_few_steps() {
    let options = Options { bug: Some(Bug::LostRenewal), ..Options::default() };
    let (faults, steps): (Vec<_>, Vec<_>) = (0..1_000)
        .map(Plan::from_seed)
        .filter(|plan| play(plan, options).violation.is_some())
        .take(10)
        .map(|plan| shrink(&plan, options))
        .map(|plan| (plan.faults.len(), plan.steps.len()))
        .unzip();
    let median = |mut sizes: Vec<usize>| {
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    };
    assert_eq!(faults.len(), 10, "the bug shows");
    assert!(median(faults) <= 3 && median(steps) <= 3);
}
