//! The store of the simulated world: the contract of `tidegate_core::Request`, and of the ports, as plain functions
//! on memory. Each is one transaction: it checks first and then changes, so there is nothing to roll back.
//!
//! It passes the same conformance suite as the stores on SQLite and Postgres; what the simulator proves with it holds
//! for them as far as that suite sees.

mod begin;
mod catalogue;
mod effects;
mod exchange;
mod fan_out;
mod inspect;
mod kv;
mod ledgers;
mod letters;
mod memory;
mod principals;
mod queries;
mod settle;
mod shared;

pub use memory::{Abandoned, Memory, Row};
pub use shared::SharedMemory;
