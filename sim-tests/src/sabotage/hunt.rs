//! Plays seed after seed with a planted bug until a checker objects.

use super::Bug;
use crate::plan::Plan;
use crate::probes::Probes;
use crate::run::play;
use crate::world::Options;

/// A bug that is not caught within so many seeds counts as missed.
pub const SEEDS_MAX: u64 = 5_000;

/// Who caught a bug, and how soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// The checker.
    pub by: &'static str,
    /// What it said.
    pub what: String,
    /// With how many seeds.
    pub seeds: u64,
}

/// Looks for `bug`, with all checkers or all but one.
#[must_use]
pub fn hunt(bug: Bug, without: Option<&str>, seeds_max: u64) -> Option<Caught> {
    let mut probes = Probes::default();
    for seed in 0..seeds_max {
        let options = Options { bug: Some(bug), without, ..Options::default() };
        let outcome = play(&Plan::from_seed(seed), options);
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
