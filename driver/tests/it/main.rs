//! The loop against a store in memory: wake-ups, inline claims, panics, cancellation and shutdown.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]

mod calls;
mod fake;

use fake::{Script, World, delivery};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{ConfigSpec, DeliveryId, Ending, ExecError, Fact, GateLimits, Micros, Verdict};
use tidegate_driver::Command;

/// The time limit of each wait. It is longer than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_wake_up_starts_the_handler_before_the_next_poll() {
    let mut world = World::start(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }, Script::Succeed);
    world.quiet().await;
    world.store.put(delivery(1));
    world.wake();
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn rows_of_an_inline_claim_are_executed() {
    let mut world = World::start(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }, Script::Succeed);
    world.quiet().await;
    let guard = world.try_inline_claim().expect("an idle dispatcher has room");
    assert!(guard.room().rows > 1 && world.try_inline_claim().is_none());
    guard.hand_over(vec![Arc::new(delivery(1))]);
    assert_eq!(world.ending().await, Ending::Done);
    assert!(world.try_inline_claim().is_some(), "the dispatcher has room again after the row is settled");
}

/// The rows of the claim count against the permits until it ends. If it ends without rows, the
/// dispatcher claims other rows at once.
#[tokio::test]
async fn an_inline_claim_that_ends_without_rows_frees_its_room() {
    let gate = GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 };
    let mut world =
        World::start(ConfigSpec { gate, poll_interval_ms: 60_000, ..ConfigSpec::default() }, Script::Succeed);
    world.quiet().await;
    let guard = world.try_inline_claim().expect("an idle dispatcher has room");
    world.store.put(delivery(1));
    world.wake();
    world.quiet().await;
    drop(guard);
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn a_shutdown_waits_for_the_inline_claim_in_flight() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.quiet().await;
    let guard = world.try_inline_claim().expect("an idle dispatcher has room");
    world.command(Command::Shutdown).await;
    world.quiet().await;
    guard.hand_over(vec![Arc::new(delivery(1))]);
    assert_eq!(
        world.ending().await,
        Ending::Deferred { delay: Micros::ZERO },
        "the row is released without an execution"
    );
    world.stopped().await;
    assert!(world.try_inline_claim().is_none());
}

/// An inline claim that never ends delays a shutdown by a bounded time.
#[tokio::test]
async fn a_shutdown_stops_although_an_inline_claim_hangs() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.quiet().await;
    let guard = world.try_inline_claim().expect("an idle dispatcher has room");
    world.command(Command::Shutdown).await;
    world.stopped().await;
    drop(guard);
}

#[tokio::test]
async fn the_poll_finds_rows_without_a_wake_up() {
    let mut world = World::start(ConfigSpec::default(), Script::Succeed);
    world.store.put(delivery(1));
    assert_eq!(world.ending().await, Ending::Done);
}

#[tokio::test]
async fn a_run_lasts_from_the_begin_of_its_handler_to_its_end() {
    let [before, then] = [300, 100].map(Duration::from_millis);
    let mut world = World::start(ConfigSpec::default(), Script::Wait { before, then });
    world.store.put(delivery(1));
    let settled = |fact: &Fact| if let Fact::DeliverySettled { run, .. } = fact { *run } else { None };
    let run = world.fact(settled).await_some().await;
    assert!(run.start_wait >= Micros::from_millis(300), "{run:?}");
    let length = run.duration;
    assert!(length >= Micros::from_millis(100) && length < Micros::from_millis(300), "{run:?}");
}

/// Executions that start together share a task until they have been polled once.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_blocks_its_thread_delays_no_other() {
    const BLOCKED_FOR: Duration = Duration::from_secs(2);
    for blocking in [1, 10, 20] {
        let script = Script::Block(DeliveryId(blocking), BLOCKED_FOR);
        let mut world = World::start(ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }, script);
        world.quiet().await;
        (1..=20).for_each(|id| world.store.put(delivery(id)));
        let started_at = Instant::now();
        world.wake();
        for _ in 1..20 {
            assert_eq!(world.ending().await, Ending::Done);
        }
        assert!(started_at.elapsed() < BLOCKED_FOR / 2, "{:?}", started_at.elapsed());
        assert_eq!(world.ending().await, Ending::Done);
        assert!(started_at.elapsed() >= BLOCKED_FOR, "the handler did not block");
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_fails_the_attempt() {
    let mut world = World::start(ConfigSpec::default(), Script::Panic);
    world.store.put(delivery(1));
    let Ending::Retry { failed, .. } = world.ending().await else { panic!("the delivery is not retried") };
    assert_eq!((failed.error, failed.message.as_str()), (ExecError::Internal, "the handler panicked: ouch"));
}

#[tokio::test]
async fn a_panic_in_the_store_is_a_store_failure() {
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
async fn a_shutdown_waits_for_running_executions() {
    let mut world = World::start(ConfigSpec::default(), Script::Sleep(Duration::from_millis(300)));
    world.store.put(delivery(1));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    world.command(Command::Shutdown).await;
    assert_eq!(world.ending().await, Ending::Done);
    world.stopped().await;
}

#[tokio::test]
async fn a_shutdown_cancels_an_execution_that_outlasts_the_grace() {
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
async fn closing_the_command_channel_shuts_the_driver_down() {
    let world = World::start(ConfigSpec::default(), Script::Succeed);
    world.close_commands().await;
}

#[tokio::test]
async fn the_gate_can_be_opened_while_handlers_run() {
    let gate = GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 };
    let config = ConfigSpec { gate, queue_wait_ms_max: 5_000, ..ConfigSpec::default() };
    let mut world = World::start(config, Script::Meet(2));
    world.store.put(delivery(1));
    world.store.put(delivery(2));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    // Each handler waits for the other one, so neither ends with one permit.
    let limits = GateLimits { permits: 3, sync_reserve: 0, async_reserve: 0 };
    world.command(Command::ChangeGate(limits)).await;
    assert_eq!(world.ending().await, Ending::Done);
    assert_eq!(world.ending().await, Ending::Done);
}
