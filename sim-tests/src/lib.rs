//! Deterministic simulation of whole clusters: dispatchers as they run in production, a store with the semantics of a
//! transaction, callers, crashes, pauses, lost answers. No threads, no clock, no chance but a seed's.
//!
//! A [`Plan`] is all that happens from outside, as data; [`run`] plays it and checks at each step. What a seed draws is in
//! `generate`, what happens is in `world`, what must hold is in `checkers`, a file each, and that they bite is shown by
//! `sabotage`.

mod checkers;
#[cfg(madsim)]
mod cluster;
mod cost;
mod draw;
mod exhaustive;
mod generate;
mod jitter;
mod plan;
mod probes;
mod profile;
mod run;
mod sabotage;
mod shrink;
mod trace;
mod world;

pub use checkers::{Violation, names as checkers};
#[cfg(madsim)]
pub use cluster::{Played, play_cluster};
pub use cost::{Cost, Waits};
pub use exhaustive::{exhaustive, one_by_one};
pub use jitter::Jitter;
pub use plan::{CallFault, CrashPoint, Fault, HandlerFault, Plan, Settings, Step, StoreFault};
pub use probes::{Probe, Probes};
pub use profile::Profile;
pub use run::{Outcome, play, run};
pub use sabotage::{Bug, Caught, SEEDS_MAX, hunt};
pub use shrink::shrink;
pub use trace::TraceMode;
pub use world::Options;
