//! Deterministic simulation of whole clusters: production dispatchers, a store with transactional
//! semantics, callers, crashes, pauses and lost answers. There are no threads, no clocks and no
//! randomness except the seed.
//!
//! A [`Plan`] is everything that happens from outside, as data. [`run`] plays a plan and checks
//! every step. `generate` draws plans from seeds, `world` contains the events, `checkers` contains
//! one promise per file, and `sabotage` proves that the checkers catch bugs.

mod app;
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
mod replies;
mod run;
mod sabotage;
mod shrink;
mod trace;
mod world;

pub use checkers::{Violation, names as checkers};
#[cfg(madsim)]
pub use cluster::{ClusterOutcome, play_cluster};
pub use cost::{Cost, Waits};
pub use exhaustive::{exhaustive, one_by_one};
pub use jitter::Jitter;
pub use plan::{CallFault, CrashPoint, Fault, HandlerFault, Plan, Settings, Step, StoreFault, TriggerChange, Version};
pub use probes::{Probe, Probes};
pub use profile::Profile;
pub use run::{Outcome, play, run};
pub use sabotage::{Bug, Caught, SEEDS_MAX, hunt};
pub use shrink::shrink;
pub use trace::TraceMode;
pub use world::Options;
