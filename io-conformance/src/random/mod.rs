//! A random stream of commands against two stores that must not be told apart: every result is compared, and now and then
//! all that the ports show. A difference is shrunk to the few commands that it takes.
//!
//! Times are either now or a day away, leases either long or over at once, so no clock decides; ids and versions are
//! compared by the order in which they were first seen.

mod command;
mod normal;
mod player;

use crate::{Store, World};
use command::{Command, commands};
use player::Player;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;

/// Commands of one case.
const COMMANDS_MAX: usize = 120;

/// Plays random commands against both until each has performed `least` of them. Panics with the shortest stream that
/// tells them apart.
pub fn agree<A: World, B: World>(runtime: &Runtime, reference: &A, store: &B, least: u32) {
    let (played, cases) = (AtomicU32::new(0), AtomicU32::new(0));
    while played.load(Ordering::Relaxed) < least {
        let config = Config { cases: 16, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let result = runner.run(&commands(COMMANDS_MAX), |commands| {
            let case = cases.fetch_add(1, Ordering::Relaxed);
            played.fetch_add(commands.len() as u32, Ordering::Relaxed);
            let (one, other) = (reference.store(), store.store());
            runtime.block_on(compare(&*one, &*other, &commands, case)).map_err(TestCaseError::fail)
        });
        if let Err(difference) = result {
            panic!("the stores differ: {difference}");
        }
    }
}

/// Plays them in an app of their own.
async fn compare<A: Store, B: Store>(one: &A, other: &B, commands: &[Command], case: u32) -> Result<(), String> {
    let (mut here, mut there) = (Player::new(one, case).await, Player::new(other, case).await);
    for (nth, command) in commands.iter().enumerate() {
        let (said, answered) = (here.play(command).await, there.play(command).await);
        if said != answered {
            return Err(format!("{command:?} is answered\n  {answered}\nthe model says\n  {said}"));
        }
        if nth % 8 == 7 || nth + 1 == commands.len() {
            let (shown, seen) = (here.look().await, there.look().await);
            if shown != seen {
                return Err(format!("after {command:?} there is\n  {seen}\nthe model has\n  {shown}"));
            }
        }
    }
    Ok(())
}
