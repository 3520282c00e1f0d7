//! Fixed ranges of seeds, regressions, and tests of the checkers.

mod determinism;
mod planted_bugs;
mod quick;
mod regressions;
mod seeds;
