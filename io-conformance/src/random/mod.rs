//! Random commands against two stores that must return equal results. Every result is compared.
//! After every eighth command, everything that the ports return is compared too. proptest shrinks a
//! difference to the shortest stream of commands that shows it.
//!
//! A delay is zero or one day, and a lease lasts one day or expires at once, so that no result
//! depends on the clock. Ids, versions and the numbers of claims are compared by the order in which
//! they first appear.

mod command;
mod normal;
mod player;
mod verdict;

use crate::{Store, World};
use command::{Command, commands};
use player::Player;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate_core::Micros;
use tokio::runtime::Runtime;

/// The length of a long delay or lease.
const DAY: Micros = Micros::from_secs(24 * 3_600);

/// The most commands in one case.
const COMMANDS_MAX: usize = 120;

/// Plays at least `commands_min` random commands against both stores. Panics with the shortest
/// stream of commands whose results differ.
pub fn agree<A: World, B: World>(runtime: &Runtime, reference: &A, store: &B, commands_min: u32) {
    let (played, cases) = (AtomicU32::new(0), AtomicU32::new(0));
    while played.load(Ordering::Relaxed) < commands_min {
        let config = Config { cases: 16, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let result = runner.run(&commands(COMMANDS_MAX), |commands| {
            let case = cases.fetch_add(1, Ordering::Relaxed);
            played.fetch_add(commands.len() as u32, Ordering::Relaxed);
            let (reference, store) = (reference.store(), store.store());
            runtime.block_on(compare(&*reference, &*store, &commands, case)).map_err(TestCaseError::fail)
        });
        if let Err(difference) = result {
            panic!("the stores differ: {difference}");
        }
    }
}

/// Plays the commands of one case in a new app of each store.
async fn compare<A: Store, B: Store>(reference: &A, store: &B, commands: &[Command], case: u32) -> Result<(), String> {
    let (mut reference, mut store) = (Player::new(reference, case).await, Player::new(store, case).await);
    for (nth, command) in commands.iter().enumerate() {
        let (expected, actual) = (reference.play(command).await, store.play(command).await);
        if actual != expected {
            return Err(format!("the store answers {command:?} with\n  {actual}\nthe reference answers\n  {expected}"));
        }
        if nth % 8 == 7 || nth + 1 == commands.len() {
            let (expected, actual) = (reference.snapshot().await, store.snapshot().await);
            if actual != expected {
                return Err(format!(
                    "after {command:?} the store shows\n  {actual}\nthe reference shows\n  {expected}"
                ));
            }
        }
    }
    Ok(())
}
