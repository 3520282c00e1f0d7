//! Tests of the daemon from outside.
//!
//! Most of them run the real program on both stores. The modules `http_*` call the API without a
//! socket, on a store in memory. `serving` runs a daemon in this process.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]
#![expect(clippy::disallowed_methods, reason = "tests read their settings from the environment")]

mod bad_input;
mod calls;
mod cli;
mod cli_support;
mod connection_limits;
mod connections;
#[cfg(target_os = "linux")]
mod disks;
mod docs;
mod effects_once;
mod fairness;
mod full_gate;
mod hostile;
mod http_api;
mod http_apps;
mod http_errors;
mod http_events;
mod http_health;
mod http_kv;
mod http_permissions;
mod http_replies;
mod http_rows;
mod http_wakes;
mod identity;
mod invalid_triggers;
mod large_effects;
mod letters;
mod log_lines;
mod logins;
mod lost_calls;
mod metrics;
mod nothing_is_lost;
mod outage;
mod poison;
mod postgres_errors;
mod public_errors;
#[cfg(target_os = "linux")]
mod retention;
mod script_threads;
mod secrets;
mod serving;
#[cfg(target_os = "linux")]
mod set_clock;
mod shutdown;
mod silent_server;
mod terminal;
mod world;
