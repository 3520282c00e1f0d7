//! A store in memory, for simulations and tests. It implements the contract of
//! `tidegate_core::Request` and the ports as plain functions. Each function is one transaction. It
//! makes all checks before its first change, so it never rolls back.
//!
//! The store passes the same conformance suite as the stores on SQLite and Postgres. A property
//! that holds in a simulation also holds for those stores, if the suite covers the property.

mod begin;
mod catalogue;
mod claim;
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
mod retention;
mod rows;
mod settle;
mod shared;

pub use memory::Memory;
pub use rows::{Abandoned, Row};
pub use shared::SharedMemory;
