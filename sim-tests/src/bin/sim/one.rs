//! Plays one plan and prints its timeline.

use std::path::Path;
use std::time::Instant;
use tidegate_sim_tests::{Options, Outcome, Plan, Profile, TraceMode, run, shrink};

/// Plays the plan of a seed.
pub(crate) fn seed(profile: Profile, seed: u64) -> bool {
    println!("seed {seed} of the workload {}", profile.name());
    show(&Plan::of(profile, seed))
}

/// Plays a stored plan.
pub(crate) fn file(path: &Path) -> bool {
    let plan = std::fs::read_to_string(path).map_err(|error| error.to_string());
    match plan.and_then(|text| serde_json::from_str::<Plan>(&text).map_err(|error| error.to_string())) {
        Ok(plan) => show(&plan),
        Err(error) => {
            eprintln!("{} cannot be played: {error}", path.display());
            false
        }
    }
}

fn show(plan: &Plan) -> bool {
    describe(plan);
    let outcome = run(plan, TraceMode::Timeline);
    let Outcome { violation, timeline, cost, .. } = outcome;
    timeline.iter().for_each(|line| println!("{line}"));
    println!("{:.1} s were simulated, {} store calls", cost.lasted as f64 / 1e6, cost.store_calls);
    match violation {
        None => true,
        Some(violation) => {
            println!("\nbroken: {violation}");
            explain(plan);
            false
        }
    }
}

fn describe(plan: &Plan) {
    let (daemons, steps, faults) = (plan.daemons, plan.steps.len(), plan.faults.len());
    println!("{daemons} daemons, {:?}; {steps} steps, {faults} faults", plan.settings);
}

/// Shrinks a failing plan, prints it and writes it to a file.
pub(crate) fn explain(plan: &Plan) {
    let started = Instant::now();
    let smallest = shrink(plan, Options::default());
    let outcome = run(&smallest, TraceMode::Timeline);
    let Some(violation) = outcome.violation else { return };
    println!(
        "\nshrunk from {} steps and {} faults to {} and {} in {:.1} s:",
        plan.steps.len(),
        plan.faults.len(),
        smallest.steps.len(),
        smallest.faults.len(),
        started.elapsed().as_secs_f64()
    );
    describe(&smallest);
    outcome.timeline.iter().for_each(|line| println!("{line}"));
    println!("broken: {violation}");
    let path = format!("target/sim-{}-{}.json", violation.checker, plan.seed);
    let text = serde_json::to_string_pretty(&smallest).expect("a plan is data");
    match std::fs::write(&path, text) {
        Ok(()) => println!("written to {path}: keep it in sim-tests/regressions/ after the fix"),
        Err(error) => println!("{path} could not be written: {error}"),
    }
}
