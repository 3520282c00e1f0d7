//! The time that an execution waits for a thread.

use crate::warm::next_delivery;
use crate::world::{World, delivery, failure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::Limits;
use tidegate_ports::Executor;
use tokio::task::JoinHandle;

fn run(world: &World, delivery: Delivery) -> JoinHandle<Outcome> {
    let executor = Arc::clone(&world.executor);
    tokio::spawn(async move { executor.execute(Arc::new(delivery)).await })
}

fn cores() -> u32 {
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
async fn a_queued_execution_gets_the_thread_that_replaces_an_abandoned_one() {
    let source = "export default (event, ctx) => {
        if (ctx.attempt === 9) 'a'.repeat(1 << 21).indexOf('a'.repeat(1 << 13) + 'b');
        return 1;
    }";
    let world = World::with_limits(source, Limits { threads_max: 1, ..Limits::default() });
    let stuck = run(&world, Delivery { attempt: 9, ..delivery(Duration::from_millis(100)) });
    tokio::task::yield_now().await;
    let queued = run(&world, next_delivery());
    assert_eq!(failure(stuck.await.unwrap()).error, ExecError::Timeout);
    assert!(matches!(queued.await.unwrap(), Outcome::Succeeded { .. }));
    assert_eq!(world.executor.stats().abandoned, 1, "the first execution is still stuck");
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
