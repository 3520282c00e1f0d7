//! Plays seeds with a planted bug until a checker catches it.

use super::Bug;
use crate::plan::Plan;
use crate::probes::Probes;
use crate::run::play;
use crate::world::Options;

/// A bug that no seed of this range shows counts as missed.
pub const SEEDS_MAX: u64 = 5_000;

/// The checker that caught a bug, and the effort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    pub by: &'static str,
    pub what: String,
    /// The number of seeds played.
    pub seeds: u64,
}

/// Plays up to `seeds_max` seeds with `bug`, with all checkers or without one.
#[must_use]
pub fn hunt(bug: Bug, without: Option<&str>, seeds_max: u64) -> Option<Caught> {
    let mut probes = Probes::default();
    for seed in 0..seeds_max {
        let options = Options { bug: Some(bug), without, ..Options::default() };
        let outcome = play(&Plan::of(bug.profile(), seed), options);
        if let Some(violation) = outcome.violation {
            return Some(Caught { by: violation.checker, what: violation.what, seeds: seed + 1 });
        }
        probes.add(&outcome.probes);
        if let Some(what) = probes.jitter().objection().filter(|_| without != Some("jitter")) {
            return Some(Caught { by: "jitter", what, seeds: seed + 1 });
        }
    }
    None
}
