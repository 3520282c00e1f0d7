//! A short run that detects changes of the core. Mutants of the core have to pass only this test.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidegate_sim_tests::{Cost, Plan, Probes, Profile, TraceMode, one_by_one, run};

const SEEDS: u64 = 700;
const EXPECTED: [(&str, u64); 7] = [
    ("store calls per seed", 686),
    ("simulated milliseconds per seed", 14_842),
    ("conflicts in all", 20_064),
    ("deferrals in all", 7_783),
    ("prompt first claims per thousand", 236),
    ("prompt retries per thousand", 318),
    ("prompt starts per thousand", 237),
];

/// The number of finished plans.
static PLAYED: AtomicU64 = AtomicU64::new(0);
/// True when all plans are finished. Other tests of this process may still run.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// A plan takes milliseconds. A core that never returns from an input can only be ended with its
/// process.
const HANGS_AFTER: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "a hung thread cannot return")]
fn watch() {
    std::thread::spawn(|| {
        let mut before = u64::MAX;
        loop {
            let played = PLAYED.load(Ordering::Relaxed);
            if IS_OVER.load(Ordering::Relaxed) {
                return;
            }
            if played == before {
                eprintln!("the core hangs after {played} plans");
                std::process::exit(101);
            }
            before = played;
            std::thread::sleep(HANGS_AFTER);
        }
    });
}

fn play(plan: &Plan, cost: &mut Cost, probes: &mut Probes) {
    let outcome = run(plan, TraceMode::Nothing);
    assert_eq!(outcome.violation, None, "{plan:?}");
    *cost += outcome.cost;
    probes.add(&outcome.probes);
    PLAYED.fetch_add(1, Ordering::Relaxed);
}

/// Fails if a cost differs from the recorded one by over 2 %. The change may break no promise and
/// still be unwanted.
#[track_caller]
fn check(measured: &[(&str, u64)], expected: &[(&str, u64)]) {
    let is_near = |(cost, expected): (&(&str, u64), &(&str, u64))| cost.1.abs_diff(expected.1) * 50 <= expected.1;
    let all_near = measured.len() == expected.len() && measured.iter().zip(expected).all(is_near);
    assert!(
        all_near,
        "the cost of a run is {measured:?}, expected {expected:?}; if the change is intended, update EXPECTED"
    );
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
    let others = [
        (Profile::Jitter, 4),
        (Profile::Gate, 4),
        (Profile::Loops, 4),
        (Profile::Overlap, 10),
        (Profile::Crash, 20),
        (Profile::Fair, 20),
    ];
    for (profile, part) in others {
        for seed in 0..SEEDS / part {
            play(&Plan::of(profile, seed), &mut cost, &mut probes);
        }
    }
    IS_OVER.store(true, Ordering::Relaxed);
    assert_eq!(probes.jitter().objection(), None);
    let measured = [
        ("store calls per seed", cost.store_calls / SEEDS),
        ("simulated milliseconds per seed", cost.lasted / 1_000 / SEEDS),
        ("conflicts in all", cost.conflicts),
        ("deferrals in all", cost.deferrals),
        ("prompt first claims per thousand", cost.first_claims.prompt_permille()),
        ("prompt retries per thousand", cost.retries.prompt_permille()),
        ("prompt starts per thousand", cost.starts.prompt_permille()),
    ];
    check(&measured, &EXPECTED);
}
