//! Starts the real servers of this crate.

mod cluster;
mod process;
