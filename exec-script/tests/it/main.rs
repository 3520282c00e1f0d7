//! The executor with real scripts: their effects, their replies, and their limits.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]

mod check;
mod effects;
mod fresh;
mod leaks;
mod limits;
mod memory_room;
mod principals;
mod recycling;
mod replies;
mod stuck;
mod threads;
mod warm;
mod world;
