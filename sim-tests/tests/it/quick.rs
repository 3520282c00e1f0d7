//! A short run that detects changes of the core. Mutants of the core have to pass only this test.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidegate_sim_tests::{Cost, Plan, Probes, Profile, TraceMode, one_by_one, run};

const SEEDS: u64 = 700;
const EXPECTED: [(&str, u64); 15] = [
    ("store calls per seed", 827),
    ("simulated milliseconds per seed", 17_198),
    ("conflicts in all", 24_550),
    ("deferrals in all", 8428),
    ("prompt first claims per thousand", 108),
    ("prompt retries per thousand", 233),
    ("prompt starts per thousand", 124),
    ("cancelled executions", 496),
    ("empty exchanges", 13_686),
    ("fenced settlements", 941),
    ("handlers that did not start", 1436),
    ("lost leases", 346),
    ("overrun executions", 102),
    ("refused calls", 5134),
    ("rows claimed inline", 3088),
];

/// The number of finished plans.
static PLAYED: AtomicU64 = AtomicU64::new(0);
/// True when all plans are finished. Other tests of this process may still run.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// A plan takes milliseconds. A core that never returns from an input can only be ended with its
/// process. Both times must pass: CPU time, because other processes may delay this one, and wall
/// time, because other tests of this process use CPU time too.
const HANGS_AFTER: Duration = Duration::from_secs(5);
/// `cargo xtask mutants` reads the line that begins like this.
const CPU_TIME: &str = "CPU time in ms: ";

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("a process does not run backwards")
}

#[expect(clippy::disallowed_methods, reason = "a hung thread cannot return")]
fn watch() {
    std::thread::spawn(|| {
        let (mut before, mut since, mut cpu_since) = (u64::MAX, Instant::now(), cpu_time());
        while !IS_OVER.load(Ordering::Relaxed) {
            let played = PLAYED.load(Ordering::Relaxed);
            if played != before {
                (before, since, cpu_since) = (played, Instant::now(), cpu_time());
            } else if since.elapsed() > HANGS_AFTER && cpu_time() - cpu_since > HANGS_AFTER {
                eprintln!("the core hangs after {played} plans");
                std::process::exit(101);
            }
            std::thread::sleep(Duration::from_millis(200));
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

/// Fails if a cost differs from the recorded one by over 1 %. The change may break no promise and
/// still be unwanted.
#[track_caller]
fn check(measured: &[(&str, u64)], expected: &[(&str, u64)]) {
    let is_near = |(cost, expected): (&(&str, u64), &(&str, u64))| cost.1.abs_diff(expected.1) * 100 <= expected.1;
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
    let others = [
        (Profile::Jitter, 4),
        (Profile::Gate, 4),
        (Profile::Loops, 4),
        (Profile::Overlap, 10),
        (Profile::Crash, 5),
        (Profile::Restore, 5),
        (Profile::Fair, 20),
    ];
    for (profile, part) in others {
        for seed in 0..SEEDS / part {
            play(&Plan::of(profile, seed), &mut cost, &mut probes);
        }
    }
    IS_OVER.store(true, Ordering::Relaxed);
    assert_eq!(probes.silent(), []);
    assert_eq!(probes.jitter().objection(), None);
    let mut measured = vec![
        ("store calls per seed", cost.store_calls / SEEDS),
        ("simulated milliseconds per seed", cost.lasted / 1_000 / SEEDS),
        ("conflicts in all", cost.conflicts),
        ("deferrals in all", cost.deferrals),
        ("prompt first claims per thousand", cost.first_claims.prompt_permille()),
        ("prompt retries per thousand", cost.retries.prompt_permille()),
        ("prompt starts per thousand", cost.starts.prompt_permille()),
    ];
    measured.extend(cost.counts);
    check(&measured, &EXPECTED);
    println!("{CPU_TIME}{}", cpu_time().as_millis());
}
