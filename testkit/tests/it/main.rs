//! What testkit starts, started.

mod cluster;
mod process;
