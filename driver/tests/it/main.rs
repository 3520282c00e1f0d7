//! The loop against a store in memory: what it must do beyond asking the core.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]

mod calls;
mod fake;

use fake::{Script, World, delivery};
use std::time::Duration;
use tidegate_core::{ConfigSpec, Ending, ExecError, Fact, GateLimits, Micros, Verdict};
use tidegate_driver::Command;

/// Longer than anything here takes, shorter than anybody waits.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_wake_starts_the_handler_without_waiting_for_the_poll() {
    let mut world = World::start(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }, Script::Succeed);
    world.quiet().await;
    world.store.put(delivery(1));
    world.wake();
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn what_an_emission_has_claimed_is_executed() {
    let mut world = World::start(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }, Script::Succeed);
    world.quiet().await;
    let offer = world.try_inline_claim().expect("an idle dispatcher has room");
    assert!(offer.room().rows > 1 && world.try_inline_claim().is_none());
    offer.claimed(vec![delivery(1)]);
    assert_eq!(world.ending().await, Ending::Done);
    assert!(world.try_inline_claim().is_some(), "there is room again");
}

#[tokio::test]
async fn a_shutdown_waits_for_an_emission_that_is_claiming() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.quiet().await;
    let offer = world.try_inline_claim().expect("an idle dispatcher has room");
    world.command(Command::Shutdown).await;
    world.quiet().await;
    offer.claimed(vec![delivery(1)]);
    assert_eq!(world.ending().await, Ending::Deferred { delay: Micros::ZERO }, "it is given back");
    world.stopped().await;
    assert!(world.try_inline_claim().is_none());
}

/// One that never comes back costs a bounded time, as everything does that a shutdown waits for.
#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.quiet().await;
    let offer = world.try_inline_claim().expect("an idle dispatcher has room");
    world.command(Command::Shutdown).await;
    world.stopped().await;
    drop(offer);
}

#[tokio::test]
async fn the_poll_finds_what_nobody_told_of() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.store.put(delivery(1));
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_failed_attempt() {
    let mut world = World::start(ConfigSpec::default(), Script::Panic);
    world.store.put(delivery(1));
    let Ending::Retry { failed, .. } = world.ending().await else { panic!("not retried") };
    assert_eq!((failed.error, failed.message.as_str()), (ExecError::Internal, "the handler panicked: ouch"));
}

#[tokio::test]
async fn a_panic_in_the_store_is_a_failure_of_unknown_fate() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.store.panic_once();
    world.store.put(delivery(1));
    let message = world
        .fact(|fact| match fact {
            Fact::StoreFailed { error, .. } => Some(error.message.clone()),
            _ => None,
        })
        .await_some()
        .await;
    assert!(message.starts_with("the store panicked in "), "{message}");
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn shutdown_waits_for_what_runs() {
    let mut world = World::start(ConfigSpec::default(), Script::Sleep(Duration::from_millis(300)));
    world.store.put(delivery(1));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    world.command(Command::Shutdown).await;
    assert_eq!(world.ending().await, Ending::Done);
    world.stopped().await;
}

#[tokio::test]
async fn shutdown_releases_what_outlasts_the_grace_and_drops_its_execution() {
    let config = ConfigSpec { shutdown_grace_ms: 100, ..ConfigSpec::default() };
    let mut world = World::start(config, Script::Sleep(Duration::from_secs(3_600)));
    world.store.put(delivery(1));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    world.command(Command::Shutdown).await;
    assert!(matches!(world.ending().await, Ending::Deferred { .. }));
    world.stopped().await;
    assert!(matches!(world.store.settled()[..], [Verdict::Deferred { .. }]));
    assert_eq!(world.dropped_executions(), 1);
}

#[tokio::test]
async fn a_dropped_command_channel_is_a_shutdown() {
    let world = World::start(ConfigSpec::default(), Script::Succeed);
    world.hang_up().await;
}

#[tokio::test]
async fn the_gate_can_be_opened_while_running() {
    let gate = GateLimits { permits: 1, sync_reserve: 0 };
    let config = ConfigSpec { gate, queue_wait_ms_max: 5_000, ..ConfigSpec::default() };
    let mut world = World::start(config, Script::Meet(2));
    world.store.put(delivery(1));
    world.store.put(delivery(2));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    // Each handler waits for the other, so with one permit neither ends.
    let limits = GateLimits { permits: 3, sync_reserve: 0 };
    world.command(Command::ChangeGate(limits)).await;
    assert_eq!(world.ending().await, Ending::Done);
    assert_eq!(world.ending().await, Ending::Done);
}
