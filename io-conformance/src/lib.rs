//! What every store of Tidegate must do, as one suite.
//!
//! A store's crate makes an empty store in a [`World`] and writes, once, in its tests:
//!
//! ```text
//! tidegate_io_conformance::conformance!(fresh().await);
//! ```
//!
//! which becomes one test per case, so that a failure names the promise that was broken. The expression is evaluated
//! once per test, in a function that sees the names around the macro.
//!
//! Cases see a store only through its ports and its own clock: they wait for a due time or an expired lease by asking
//! again, never by sleeping for a guess.

mod list;
mod random;
mod support;
mod world;

mod calls;
mod claim;
mod concurrent;
mod cron;
mod dead_letters;
mod deliveries;
mod deploy;
mod effects;
mod emit;
mod fan_out;
mod fence;
mod inline_claim;
mod kv;
mod lanes;
mod ledgers;
mod matching;
mod principals;
mod redrive;
mod scripts;
mod settle;
mod triggers;

pub use list::cases;
pub use random::agree;
pub use world::{Store, World};
