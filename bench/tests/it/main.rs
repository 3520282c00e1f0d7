//! The pieces of the command, each in a second or two: what it prints and draws, and a drain that is real but tiny.

mod drain;
mod report;
