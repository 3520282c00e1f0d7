//! Whole drivers on the simulated runtime. Each seed has its own process, because the runtime keeps
//! state in global variables.

use crate::progress::bar;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tidegate_sim_tests::{Bug, ClusterOutcome, Plan, TraceMode, play_cluster};

/// Plays one seed. The last line of the output is for the parent process.
pub(crate) fn play(seed: u64, shows: bool, bug: Option<Bug>) -> bool {
    let mode = if shows { TraceMode::Timeline } else { TraceMode::Hash };
    let ClusterOutcome { violation, applied, lasted, hash, timeline } = play_cluster(&Plan::from_seed(seed), mode, bug);
    timeline.iter().for_each(|line| println!("{line}"));
    if let Some(violation) = &violation {
        println!("broken: {violation}");
    }
    println!("{applied} {lasted} {hash}");
    violation.is_none()
}

#[derive(Default)]
struct Tally {
    played: u64,
    simulated: u64,
    failures: Vec<(u64, String)>,
}

/// Plays many seeds on all cores.
pub(crate) fn many(from: u64, seeds: u64, threads: usize) -> bool {
    println!("seeds {from} to {} of whole drivers on {threads} cores", from + seeds - 1);
    let (next, tally, progress) = (AtomicU64::new(from), Mutex::new(Tally::default()), bar(seeds, "seeds"));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = tally.lock().expect("no worker panics").failures.len() >= 5;
                    if seed >= from + seeds || is_enough {
                        return;
                    }
                    count(&mut tally.lock().expect("no worker panics"), seed, process(&["cluster", &seed.to_string()]));
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    let took = started.elapsed().as_secs_f64();
    let Tally { played, simulated, mut failures } = tally.into_inner().expect("no worker panics");
    failures.sort_unstable();
    for (seed, message) in &failures {
        println!("seed {seed}: {message}\n  its timeline: cargo xtask sim --tier 2 --seed {seed}");
    }
    let (hours, per_second) = (simulated as f64 / 3.6e9, played as f64 / took);
    println!("{:.0} seeds per core and hour", per_second * 3_600.0 / threads as f64);
    println!("{played} seeds, {} failures, {per_second:.0} seeds/s, {hours:.1} simulated hours", failures.len());
    failures.is_empty()
}

/// Runs this program as a child process, so that a panic or a hang ends only that run.
fn process(args: &[&str]) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?).args(args).env("RUST_BACKTRACE", "0").output()
}

fn count(tally: &mut Tally, seed: u64, output: std::io::Result<Output>) {
    tally.played += 1;
    let message = match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let lasted = text.lines().last().and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
            match lasted {
                Some(lasted) => return tally.simulated += lasted,
                None => "the process printed no result".to_owned(),
            }
        }
        Ok(output) => {
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let broken = out.lines().find(|line| line.starts_with("broken: ")).map(str::to_owned);
            broken.unwrap_or_else(|| err.into_owned())
        }
        Err(error) => error.to_string(),
    };
    tally.failures.push((seed, message));
}

/// Verifies that planted bugs are caught and that two processes agree.
pub(crate) fn check() -> bool {
    let run = |args: &[&str]| process(args).map(|output| (output.status.success(), output.stdout)).ok();
    let is_broken =
        |seed: u64, bug: &str| run(&["cluster", &seed.to_string(), "--bug", bug]).is_some_and(|(is_well, _)| !is_well);
    let planted = ["RetryLosesRow", "ClaimsLeased", "LeaseNotGrown"];
    let caught = planted.iter().all(|bug| (0..20).any(|seed| is_broken(seed, bug)));
    let agree = (0..20_u64).all(|seed| {
        let seed = seed.to_string();
        run(&["cluster", &seed]).is_some_and(|result| Some(result) == run(&["cluster", &seed]))
    });
    println!("planted bugs are caught: {caught}; two processes agree on 20 seeds: {agree}");
    caught && agree
}
