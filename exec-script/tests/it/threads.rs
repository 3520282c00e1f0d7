//! The time that an execution waits for a thread.

use crate::warm::next_delivery;
use crate::world::{BROKEN_STORE, SLOW_STORE, World, delivery, failure, reason};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::{Limits, ScriptExecutor};
use tidegate_ports::{Executor, StartWait};
use tokio::task::JoinHandle;

pub(crate) fn run(world: &World, delivery: Delivery) -> JoinHandle<Outcome> {
    let executor = Arc::clone(&world.executor);
    tokio::spawn(async move { executor.execute(Arc::new(delivery), &StartWait::begin()).await })
}

pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap())
}

#[tokio::test]
async fn short_scripts_run_while_long_scripts_compute() {
    let world = World::new("export default (event, ctx) => { if (ctx.attempt === 9) for (;;) {} return 1 }");
    let endless = Delivery { attempt: 9, ..delivery(Duration::from_secs(15)) };
    let running: Vec<_> = (0..cores() + 2).map(|_| run(&world, endless.clone())).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(world.number(next_delivery()).await, 1);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for one in running {
        assert!(!one.is_finished(), "the endless scripts still run");
        one.abort();
    }
}

#[tokio::test]
async fn a_sleeping_script_does_not_occupy_a_core() {
    let world = World::new("export default async (event, ctx) => { await ctx.sleep(500) }");
    let began = Instant::now();
    for one in (0..60).map(|_| run(&world, next_delivery())).collect::<Vec<_>>() {
        assert!(matches!(one.await.unwrap(), Outcome::Succeeded { .. }));
    }
    let on_cores = Duration::from_millis(500) * 60 / cores();
    assert!(began.elapsed() < on_cores / 2 + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn short_scripts_do_not_use_all_threads_that_long_scripts_started() {
    let source = "export default (event, ctx) => { if (ctx.attempt === 9) for (;;) {} return 1 }";
    let world = Arc::new(World::new(source));
    let endless = Delivery { attempt: 9, ..delivery(Duration::from_millis(300)) };
    for one in (0..cores() + 3).map(|_| run(&world, endless.clone())).collect::<Vec<_>>() {
        assert_eq!(failure(one.await.unwrap()).error, ExecError::Timeout);
    }
    for one in (0..500).map(|_| run(&world, next_delivery())).collect::<Vec<_>>() {
        assert!(matches!(one.await.unwrap(), Outcome::Succeeded { .. }));
    }
    // Without the limit on computing scripts, the 500 executions would use all 64 threads.
    assert!(world.executor.stats().threads <= cores() as usize + 20, "{:?}", world.executor.stats());
}

#[tokio::test]
async fn each_execution_gets_a_thread() {
    let world = World::new("export default async (event, ctx) => { await ctx.sleep(1000) }");
    let running: Vec<_> = (0..100).map(|_| run(&world, next_delivery())).collect();
    let began = Instant::now();
    while world.executor.stats().threads < 100 && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let threads = world.executor.stats().threads;
    assert!((100..=101).contains(&threads), "{threads} threads; one more may watch the queue");
    for one in running {
        assert!(matches!(one.await.unwrap(), Outcome::Succeeded { .. }));
    }
}

#[tokio::test]
async fn the_timeout_counts_from_the_start_and_not_while_an_execution_waits_for_a_thread() {
    let source = "export default () => { for (const end = Date.now() + 400; Date.now() < end;); }";
    let world = World::with_limits(source, Limits { app_computing_max: 1, ..Limits::default() });
    let began = Instant::now();
    let running: Vec<_> = (0..8 * cores()).map(|_| run(&world, delivery(Duration::from_millis(1_500)))).collect();
    for one in running {
        let outcome = one.await.unwrap();
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    }
    assert!(began.elapsed() > Duration::from_millis(1_500), "the last executions waited longer than their timeout");
}

/// The script measures its own run.
#[tokio::test]
async fn the_start_wait_ends_when_the_script_has_a_thread() {
    let source = "export default () => { for (const end = Date.now() + 200; Date.now() < end;); }";
    let world = World::with_limits(source, Limits { app_computing_max: 1, ..Limits::default() });
    let timed = |executor: Arc<ScriptExecutor>| async move {
        let (start_wait, began) = (StartWait::begin(), Instant::now());
        let outcome = executor.execute(Arc::new(delivery(Duration::from_secs(2))), &start_wait).await;
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        (Duration::from_micros(start_wait.length().0), began.elapsed())
    };
    let running: Vec<_> = (0..6 * cores()).map(|_| tokio::spawn(timed(Arc::clone(&world.executor)))).collect();
    let mut waits = Vec::new();
    for one in running {
        let (wait, all) = one.await.unwrap();
        let ran = all - wait;
        assert!((Duration::from_millis(199)..Duration::from_millis(700)).contains(&ran), "{ran:?} of {all:?}");
        waits.push(wait);
    }
    let longest = waits.into_iter().max().unwrap();
    assert!(longest > Duration::from_millis(600), "the last executions wait for three others: {longest:?}");
}

#[tokio::test]
async fn a_handler_does_not_start_if_the_store_cannot_be_read() {
    let world = World::new(BROKEN_STORE);
    let refused = reason(world.run().await);
    assert!(refused.starts_with("the store could not read the script s: the store is down"), "{refused}");
    world.principals.fail();
    let refused = reason(world.run().await);
    assert!(refused.starts_with("the store could not read the principal admin: the store is down"), "{refused}");
    let slow = World::with_start_wait(SLOW_STORE, Limits::default(), Duration::from_millis(50));
    assert_eq!(reason(slow.run().await), "the store did not answer within 50 ms");
}
