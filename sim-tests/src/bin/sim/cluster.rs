//! Runs of whole drivers in processes of their own.

use crate::progress::bar;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tidegate_sim_tests::{Bug, ClusterOutcome, Plan, Probes, Profile, TraceMode, play_cluster};

/// The run stops after this many failures.
const FAILURES_MAX: usize = 5;

/// One run: the plan of a seed or of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) plan: Option<PathBuf>,
    pub(crate) bug: Option<Bug>,
    pub(crate) mode: TraceMode,
}

/// The result of a run, as its process prints it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    /// The checker that failed, and its message.
    broken: Option<(String, String)>,
    /// The simulated time, in microseconds.
    lasted: u64,
    hash: String,
    counts: Vec<u64>,
}

impl Run {
    pub(crate) fn of(profile: Profile, seed: u64) -> Self {
        Self { profile, seed, plan: None, bug: None, mode: TraceMode::Nothing }
    }

    /// Runs in a child process, so that a panic or a hang ends only this run.
    fn report(&self) -> Result<Report, String> {
        let mut args = vec!["cluster".to_owned(), "--seed".to_owned(), self.seed.to_string()];
        args.extend(["--profile".to_owned(), self.profile.name().to_owned()]);
        args.extend(self.bug.into_iter().flat_map(|bug| ["--bug".to_owned(), format!("{bug:?}")]));
        args.extend((self.mode == TraceMode::Hash).then(|| "--hash".to_owned()));
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new(program).args(args).env("RUST_BACKTRACE", "0").output();
        let Output { stdout, stderr, .. } = output.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&stdout);
        let report = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        report.ok_or_else(|| String::from_utf8_lossy(&stderr).into_owned())
    }

    fn plan(&self) -> Result<Plan, String> {
        let Some(path) = &self.plan else { return Ok(Plan::of(self.profile, self.seed)) };
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}

/// Plays a run in this process. The last line of the output is for the parent process, except in a
/// timeline.
pub(crate) fn play(run: &Run) -> bool {
    let plan = match run.plan() {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("the plan cannot be played: {error}");
            return false;
        }
    };
    let ClusterOutcome { violation, probes, lasted, hash, timeline, .. } = play_cluster(&plan, run.mode, run.bug);
    timeline.iter().for_each(|line| println!("{line}"));
    let is_well = violation.is_none();
    if run.mode == TraceMode::Timeline {
        println!("{:.1} s were simulated", lasted as f64 / 1e6);
        violation.iter().for_each(|violation| println!("broken: {violation}"));
    } else {
        let broken = violation.map(|violation| (violation.checker.to_owned(), violation.what));
        let report = Report { broken, lasted, hash, counts: probes.counts() };
        println!("{}", serde_json::to_string(&report).expect("a report is data"));
    }
    is_well
}

/// The combined result of many runs.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) played: u64,
    pub(crate) simulated: u64,
    pub(crate) probes: Probes,
    pub(crate) failures: Vec<(Run, String)>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.played += other.played;
        self.simulated += other.simulated;
        self.probes.add(&other.probes);
        self.failures.extend(other.failures);
    }

    fn count(&mut self, run: Run, report: Result<Report, String>) {
        self.played += 1;
        let message = match report {
            Ok(Report { broken: Some((checker, what)), .. }) => format!("{checker}: {what}"),
            Ok(Report { lasted, counts, .. }) => {
                self.simulated += lasted;
                match Probes::from_counts(&counts) {
                    Some(probes) => return self.probes.add(&probes),
                    None => "its process counts other probes".to_owned(),
                }
            }
            Err(message) => message,
        };
        self.failures.push((run, message));
    }
}

/// Plays many seeds on all cores.
pub(crate) fn many(profile: Profile, from: u64, seeds: u64, threads: usize) -> Tally {
    let (next, tally, progress) = (AtomicU64::new(from), Mutex::new(Tally::default()), bar(seeds, profile.name()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_enough = tally.lock().expect("no worker panics").failures.len() >= FAILURES_MAX;
                    if seed >= from + seeds || is_enough {
                        return;
                    }
                    let run = Run::of(profile, seed);
                    let report = run.report();
                    tally.lock().expect("no worker panics").count(run, report);
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    let mut tally = tally.into_inner().expect("no worker panics");
    tally.failures.sort_by_key(|(run, _)| run.seed);
    tally
}

/// The checker that caught a bug, and the number of seeds played.
pub(crate) struct Caught {
    pub(crate) by: String,
    pub(crate) what: String,
    pub(crate) seeds: u64,
}

/// Plays up to `seeds_max` seeds with each bug.
pub(crate) fn hunt_all(bugs: &[Bug], seeds_max: u64, threads: usize) -> Vec<(Bug, Option<Caught>)> {
    let progress = bar(bugs.len() as u64, "bugs");
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = hunt(*bug, seeds_max);
                    found.lock().expect("no worker panics").push((*bug, caught));
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    found.into_inner().expect("no worker panics")
}

fn hunt(bug: Bug, seeds_max: u64) -> Option<Caught> {
    let mut probes = Probes::default();
    for seed in 0..seeds_max {
        let seeds = seed + 1;
        let report = match (Run { bug: Some(bug), ..Run::of(bug.profile(), seed) }).report() {
            Ok(report) => report,
            Err(what) => return Some(Caught { by: "a panic".to_owned(), what, seeds }),
        };
        if let Some((by, what)) = report.broken {
            return Some(Caught { by, what, seeds });
        }
        probes.add(&Probes::from_counts(&report.counts)?);
        if let Some(what) = probes.jitter().objection() {
            return Some(Caught { by: "jitter".to_owned(), what, seeds });
        }
    }
    None
}

/// Whether two processes play each of these seeds alike.
pub(crate) fn agree(seeds: u64) -> bool {
    (0..seeds).all(|seed| {
        let run = Run { mode: TraceMode::Hash, ..Run::of(Profile::Mixed, seed) };
        run.report().is_ok_and(|report| !report.hash.is_empty() && run.report() == Ok(report))
    })
}
