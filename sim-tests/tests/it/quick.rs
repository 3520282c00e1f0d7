//! A quick look, enough to notice that something in the core is not what it was: the only test that mutants of the core
//! have to pass.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidegate_sim_tests::{Cost, Plan, Probes, Profile, TraceMode, one_by_one, run};

const SEEDS: u64 = 700;
const EXPECTED: [(&str, u64); 7] = [
    ("store calls for a seed", 552),
    ("simulated milliseconds for a seed", 11_726),
    ("conflicts in all", 21_943),
    ("deferrals in all", 5_027),
    ("of a thousand first claims, prompt", 214),
    ("of a thousand retries, claimed promptly", 379),
    ("of a thousand executions, started promptly", 238),
];

/// Plans that were played to their end.
static PLAYED: AtomicU64 = AtomicU64::new(0);
/// All plans were: the tests beside this one may take their time.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// A plan takes milliseconds. A core that never comes back from one input cannot be stopped but with its process.
const HANGS_AFTER: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "whoever hangs returns from nothing")]
fn watch() {
    std::thread::spawn(|| {
        let mut before = u64::MAX;
        loop {
            let played = PLAYED.load(Ordering::Relaxed);
            if IS_OVER.load(Ordering::Relaxed) {
                return;
            }
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
    let outcome = run(plan, TraceMode::Nothing);
    assert_eq!(outcome.violation, None, "{plan:?}");
    *cost += outcome.cost;
    probes.add(&outcome.probes);
    PLAYED.fetch_add(1, Ordering::Relaxed);
}

/// Neither more nor less than it was, or a rule has changed that no promise speaks of.
#[track_caller]
fn check(is: &[(&str, u64)], expected: &[(&str, u64)]) {
    let is_near = |(is, expected): (&(&str, u64), &(&str, u64))| is.1.abs_diff(expected.1) * 50 <= expected.1;
    let all_near = is.len() == expected.len() && is.iter().zip(expected).all(is_near);
    assert!(all_near, "what a run costs is now {is:?}; it was {expected:?}; if that is meant, say so here");
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
    let others = [(Profile::Jitter, 4), (Profile::Gate, 4), (Profile::Loops, 4), (Profile::Overlap, 10)];
    for (profile, part) in others {
        for seed in 0..SEEDS / part {
            play(&Plan::of(profile, seed), &mut cost, &mut probes);
        }
    }
    IS_OVER.store(true, Ordering::Relaxed);
    assert_eq!(probes.jitter().objection(), None);
    let is = [
        ("store calls for a seed", cost.store_calls / SEEDS),
        ("simulated milliseconds for a seed", cost.lasted / 1_000 / SEEDS),
        ("conflicts in all", cost.conflicts),
        ("deferrals in all", cost.deferrals),
        ("of a thousand first claims, prompt", cost.first_claims.prompt_permille()),
        ("of a thousand retries, claimed promptly", cost.retries.prompt_permille()),
        ("of a thousand executions, started promptly", cost.starts.prompt_permille()),
    ];
    check(&is, &EXPECTED);
}
