//! The command line: what people and scripts type.

mod args;
mod attempts;
mod client;
mod commands;
mod error;
mod output;
mod problem;
mod target;
mod text;
