//! Plays one plan to its end.

use crate::checkers::Violation;
use crate::cost::Cost;
use crate::plan::Plan;
use crate::probes::Probes;
use crate::trace::TraceMode;
use crate::world::{Options, World};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub cost: Cost,
    pub probes: Probes,
    /// The timeline, if requested.
    pub timeline: Vec<String>,
    /// The hash of every input and output, if requested.
    pub hash: String,
}

/// Plays `plan`. The same plan has the same outcome in any process.
#[must_use]
pub fn run(plan: &Plan, mode: TraceMode) -> Outcome {
    play(plan, Options { mode, ..Options::default() })
}

/// Plays `plan` with a planted bug or without a checker.
#[must_use]
pub fn play(plan: &Plan, options: Options<'_>) -> Outcome {
    let mut world = World::new(plan, options);
    let violation = world.play().err();
    let cost = Cost { lasted: world.lasted(), ..world.cost };
    let World { probes, trace, .. } = world;
    let (timeline, hash) = trace.finish();
    Outcome { violation, cost, probes, timeline, hash }
}
