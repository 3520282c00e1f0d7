//! Probe counts and run hashes.

use crate::many::play;
use tidegate_sim_tests::{Plan, Probe, Profile, TraceMode, run};

/// Prints every probe. Fails if one never fired.
pub(crate) fn show(seeds: u64, threads: usize) -> bool {
    let tally = play(Profile::Mixed, 0, seeds, threads);
    for probe in Probe::ALL {
        println!("{:>12}  {}", tally.probes.of(*probe), probe.what());
    }
    let silent = tally.probes.silent();
    println!("{} of {} probes fired in {} seeds", Probe::ALL.len() - silent.len(), Probe::ALL.len(), tally.played);
    silent.is_empty() && tally.failures.is_empty()
}

/// Prints the hash of each seed's run.
pub(crate) fn hash(seeds: u64) -> bool {
    for seed in 0..seeds {
        println!("{seed} {}", run(&Plan::from_seed(seed), TraceMode::Hash).hash);
    }
    true
}
