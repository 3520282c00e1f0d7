//! Tests of the core through its public API: its tables row by row, its state machine output by
//! output, and both under random input.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]

mod allocations;
mod any_input;
mod bench;
mod calls;
mod clock_set_back;
mod cron;
mod dispatcher;
mod drain_start;
mod fixtures;
mod inline_claim;
mod once;
mod overlap;
mod quarantine;
mod refused;
mod restored_store;
mod settlement;
mod start_wait;
mod world;
