//! The conformance suite: one set of cases that every store of Tidegate must pass.
//!
//! The tests of a store implement [`World`], which holds an empty store, and contain one line:
//!
//! ```text
//! tidegate_io_conformance::conformance!(fresh().await);
//! ```
//!
//! The macro makes one test per case, so that a failure names its case. The expression is evaluated
//! once per test, and may use the names that are in scope at the macro call.
//!
//! Cases use a store only through its ports and its clock. To wait for a due time or an expired
//! lease, a case repeats its request until the store answers as expected.

mod list;
mod random;
mod support;
mod world;

mod calls;
mod claim;
mod claim_bytes;
mod concurrent;
mod concurrent_claims;
mod concurrent_writes;
mod conflicts;
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
mod lane_claims;
mod lanes;
mod ledgers;
mod losses;
mod matching;
mod pages;
mod principals;
mod redrive;
mod retention;
mod scripts;
mod settle;
mod triggers;

pub use list::cases;
pub use random::agree;
pub use world::{Store, World};
