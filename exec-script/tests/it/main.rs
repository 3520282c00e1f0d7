//! The executor with real scripts: their effects, their replies, and their limits.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]

mod arguments;
mod awaited;
mod check;
mod console;
mod effects;
mod fresh;
mod handlers;
mod held;
mod leaks;
mod limits;
mod locales;
mod memory_room;
mod principals;
mod recycling;
mod replies;
mod stuck;
mod texts;
mod threads;
mod warm;
mod world;
