//! Planted bugs are caught, and a failing plan shrinks to a readable size.

use tidegate_sim_tests::{Bug, Options, Plan, hunt, play, shrink};

#[test]
fn every_planted_bug_is_caught() {
    let mut seeds = Vec::new();
    for bug in Bug::ALL.iter().filter(|bug| bug.is_in_tier_1()) {
        // One seed of 500 shows `StaleTaken`, the rarest bug.
        let caught = hunt(*bug, None, 3_000);
        let caught = caught.unwrap_or_else(|| panic!("no checker caught {bug:?}: {}", bug.what()));
        assert_needs_its_fault(*bug, caught.seeds);
        seeds.push(caught.seeds);
    }
    seeds.sort_unstable();
    assert!(seeds.len() >= 30 && seeds[seeds.len() / 2] <= 100, "{seeds:?}");
}

/// The seeds that are played without the fault of a bug, up to the seed that shows the bug.
const SEEDS_WITHOUT_FAULT: u64 = 20;

/// A bug of a fault shows only with this fault. So the simulation really plays the fault.
fn assert_needs_its_fault(bug: Bug, seeds: u64) {
    let options = Options { bug: Some(bug), ..Options::default() };
    for seed in seeds.saturating_sub(SEEDS_WITHOUT_FAULT)..seeds {
        let Some(plan) = bug.without_its_fault(&Plan::of(bug.profile(), seed)) else { return };
        assert_eq!(play(&plan, options).violation, None, "{bug:?} shows without its fault, with seed {seed}");
    }
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
