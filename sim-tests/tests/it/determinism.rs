//! A plan gives the same run, in each process.

use std::process::Command;
use tidegate_sim_tests::{Plan, TraceMode, run};

const SEEDS: u64 = 50;

#[test]
fn two_processes_agree_on_every_input_and_output() {
    let hashes = || {
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(["hash", "--seeds", &SEEDS.to_string()]).output();
        String::from_utf8(output.expect("the runner runs").stdout).expect("hashes are text")
    };
    let here: String =
        (0..SEEDS).map(|seed| format!("{seed} {}\n", run(&Plan::from_seed(seed), TraceMode::Hash).hash)).collect();
    assert_eq!(here, hashes());
    assert_eq!(here, hashes());
}

#[test]
fn a_timeline_does_not_change_the_run() {
    for seed in 0..SEEDS {
        let plan = Plan::from_seed(seed);
        let (without, with) = (run(&plan, TraceMode::Nothing), run(&plan, TraceMode::Timeline));
        assert_eq!((without.cost, &without.probes), (with.cost, &with.probes));
        assert!(!with.timeline.is_empty());
    }
}

#[test]
fn a_plan_round_trips_through_json() {
    for seed in 0..SEEDS {
        let plan = Plan::from_seed(seed);
        let text = serde_json::to_string(&plan).expect("a plan is data");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("it reads back"), plan);
    }
}
