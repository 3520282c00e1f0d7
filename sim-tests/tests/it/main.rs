//! Fixed ranges of seeds, plans that once failed, and the proof that a failure is seen.

mod bites;
mod determinism;
mod quick;
mod regressions;
mod seeds;
