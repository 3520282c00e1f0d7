//! The daemon from outside: the real program on both stores, reached as its users reach it.

mod bad_input;
mod cli;
mod cli_support;
mod fairness;
mod nothing_is_lost;
mod outage;
mod poison;
mod shutdown;
mod world;
