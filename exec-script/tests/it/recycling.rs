//! A warm isolate is dropped at its limits, and every limit of an execution holds in it.

use crate::warm::{COUNTER, next_delivery};
use crate::world::{World, delivery, failure, stuck};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::*;
use tidegate_exec_script::Limits;
use tidegate_ports::{Executor, StartWait};

/// Polls until `done` returns true, for at most 60 seconds.
pub(crate) async fn wait_until(condition: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(120), "not reached: {condition}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_isolate_runs_at_most_warm_executions_max_executions() {
    let world = World::with_limits(COUNTER, Limits { warm_executions_max: 3, ..Limits::default() });
    for expected in [1, 2, 3, 1, 2, 3, 1] {
        assert_eq!(world.number(next_delivery()).await, expected);
    }
}

#[tokio::test]
async fn an_isolate_is_not_used_after_warm_age_ms_max() {
    let world = World::with_limits(COUNTER, Limits { warm_age_ms_max: 100, ..Limits::default() });
    assert_eq!(world.number(next_delivery()).await, 1);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(world.number(next_delivery()).await, 1);
}

#[tokio::test]
async fn an_isolate_above_warm_heap_bytes_max_is_not_used_again() {
    let source = "const kept = []; let n = 0; export default (event, ctx) => {
        if (ctx.attempt === 9) kept.push('x'.repeat(4).padEnd(600_000, 'y') + n);
        return ++n;
    }";
    let limits = Limits { warm_heap_bytes_max: 1 << 20, ..Limits::default() };
    let world = World::with_limits(source, limits);
    assert_eq!(world.number(next_delivery()).await, 1);
    let growing = Delivery { attempt: 9, ..next_delivery() };
    assert_eq!(world.number(growing.clone()).await, 2, "600,000 bytes are below the limit");
    assert_eq!(world.number(growing).await, 3, "the bytes are counted after the execution");
    assert_eq!(world.number(next_delivery()).await, 1);
}

#[tokio::test]
async fn garbage_is_collected_before_an_isolate_is_dropped() {
    let source =
        "let n = 0; export default () => { const a = {}; a.a = a; a.b = new Array(9000).fill(1.5); return ++n }";
    let limits = Limits { warm_heap_bytes_max: 1 << 20, ..Limits::default() };
    let world = World::with_limits(source, limits);
    for expected in 1..=100 {
        assert_eq!(world.number(next_delivery()).await, expected);
    }
}

#[tokio::test]
async fn an_isolate_above_half_of_memory_bytes_max_is_not_used_again() {
    let source = "let kept; let n = 0; export default () => { kept ??= new ArrayBuffer(600_000); return ++n }";
    let limits = Limits { memory_bytes_max: 1 << 20, ..Limits::default() };
    let world = World::with_limits(source, limits);
    for _ in 0..3 {
        assert_eq!(world.number(next_delivery()).await, 1, "the isolate holds more than half of memory_bytes_max");
    }
}

#[tokio::test]
async fn every_limit_holds_in_a_warm_isolate() {
    let source = "let n = 0; export default async (event, ctx) => {
        n++;
        switch (ctx.attempt) {
            case 2: return n;
            case 3: for (;;) {}
            case 4: for (;;) await null;
            case 5: { const a = []; for (;;) a.push(new Array(1000).fill(1)) }
            case 6: { const f = () => f() + 1; return f() }
            case 7: return await new Promise(() => {});
        }
    }";
    let limits = Limits { cpu_ms_max: 300, ..Limits::default() };
    let world = World::with_limits(source, limits);
    for (attempt, timeout, error, words) in [
        (3, 100, ExecError::Timeout, "timeout_ms of 100 ms"),
        (4, 100, ExecError::Timeout, "timeout_ms of 100 ms"),
        (4, 20_000, ExecError::ResourceLimit, "scripts.cpu_ms_max"),
        (5, 20_000, ExecError::ResourceLimit, ""),
        (6, 20_000, ExecError::ResourceLimit, "scripts.stack_bytes_max"),
        (7, 20_000, ExecError::ScriptError, "can never settle"),
    ] {
        assert_eq!(world.number(next_delivery()).await, 1, "the isolate of the failed execution is gone");
        assert_eq!(world.number(next_delivery()).await, 2);
        let failed = Delivery { attempt, ..delivery(Duration::from_millis(timeout)) };
        let failed = failure(world.executor.execute(Arc::new(failed), &StartWait::begin()).await);
        assert_eq!(failed.error, error, "{attempt}: {}", failed.message);
        assert!(failed.message.contains(words), "{attempt}: {}", failed.message);
        assert_eq!(world.executor.stats().warm_isolates, 0);
    }
}

#[tokio::test]
async fn cpu_time_is_counted_for_each_execution() {
    let source =
        "let n = 0; export default () => { const end = Date.now() + 60; while (Date.now() < end); return ++n }";
    let world = World::with_limits(source, Limits { cpu_ms_max: 200, ..Limits::default() });
    for expected in 1..=8 {
        assert_eq!(world.number(next_delivery()).await, expected);
    }
}

#[tokio::test]
async fn the_isolate_of_a_cancelled_execution_is_dropped() {
    let source = "let n = 0; export default (event, ctx) => { n++; if (ctx.attempt === 3) for (;;) {} return n }";
    let world = World::new(source);
    assert_eq!(world.number(next_delivery()).await, 1);
    let executor = Arc::clone(&world.executor);
    let endless = Delivery { attempt: 3, ..next_delivery() };
    let running = tokio::spawn(async move { executor.execute(Arc::new(endless), &StartWait::begin()).await });
    wait_until("the execution has taken the warm isolate", || world.executor.stats().warm_isolates == 0).await;
    running.abort();
    assert_eq!(world.number(next_delivery()).await, 1);
}

#[tokio::test]
async fn the_isolates_of_a_stuck_thread_are_lost() {
    let source = "let n = 0; export default (event, ctx) => {
        if (ctx.attempt === 3) 'a'.repeat(8 << 13).indexOf('a'.repeat(1 << 13) + 'b');
        return ++n;
    }";
    let world = World::new(source);
    let other = Delivery { trigger_id: TriggerId(8), ..next_delivery() };
    assert_eq!(world.number(next_delivery()).await, 1);
    assert_eq!(world.number(other.clone()).await, 1);
    assert_eq!(world.executor.stats().warm_isolates, 2);
    let endless = Delivery { attempt: 3, ..delivery(Duration::from_millis(50)) };
    assert_eq!(failure(world.executor.execute(Arc::new(endless), &StartWait::begin()).await).error, ExecError::Timeout);
    assert_eq!(stuck(&world), 1);
    assert_eq!(world.number(next_delivery()).await, 1, "on the thread that replaced it");
    assert_eq!(world.number(other).await, 1, "the isolates of the stuck thread cannot be used");
    wait_until("the built-in ends", || stuck(&world) == 0).await;
    wait_until("both threads and their isolates are gone", || {
        let stats = world.executor.stats();
        (stats.threads, stats.warm_isolates) == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn the_least_recently_used_isolate_is_evicted_first() {
    let world = World::with_limits(COUNTER, Limits { warm_isolates_max: 2, ..Limits::default() });
    let of = |id| Delivery { trigger_id: TriggerId(id), ..next_delivery() };
    for (id, expected) in [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 1), (3, 1)] {
        assert_eq!(world.number(of(id)).await, expected, "trigger {id}");
        assert!(world.executor.stats().warm_isolates <= 2);
    }
}

#[tokio::test]
async fn warm_isolates_together_hold_at_most_warm_bytes_max() {
    let source = "const kept = new ArrayBuffer(1_000_000); let n = 0; export default () => ++n";
    let limits = Limits { warm_bytes_max: 3 << 20, ..Limits::default() };
    let world = World::with_limits(source, limits);
    for id in 1..=6 {
        assert_eq!(world.number(Delivery { trigger_id: TriggerId(id), ..next_delivery() }).await, 1);
        let stats = world.executor.stats();
        assert!(stats.warm_bytes <= 3 << 20 && stats.warm_bytes > stats.warm_isolates * 1_000_000, "{stats:?}");
    }
    assert_eq!(world.executor.stats().warm_isolates, 2);
    assert_eq!(world.number(Delivery { trigger_id: TriggerId(6), ..next_delivery() }).await, 2);
    assert_eq!(
        world.number(Delivery { trigger_id: TriggerId(1), ..next_delivery() }).await,
        1,
        "this isolate was evicted"
    );
}

#[tokio::test]
async fn warm_isolates_max_includes_isolates_of_idle_threads() {
    let source = "let n = 0; export default async (event, ctx) => { await ctx.sleep(event.data); return ++n }";
    let world = Arc::new(World::with_limits(source, Limits { warm_isolates_max: 3, ..Limits::default() }));
    let event = Event { data: Json::parse("200").unwrap(), ..next_delivery().event };
    let at_once: Vec<_> = (0..8)
        .map(|_| {
            let (world, event) = (Arc::clone(&world), event.clone());
            tokio::spawn(async move { world.number(Delivery { event, ..next_delivery() }).await })
        })
        .collect();
    for one in at_once {
        assert_eq!(one.await.unwrap(), 1, "all executions run at the same time");
    }
    assert_eq!(world.executor.stats().warm_isolates, 3);
}

#[tokio::test]
async fn idle_threads_end_and_drop_their_isolates() {
    let world = World::new(COUNTER);
    assert_eq!(world.number(next_delivery()).await, 1);
    wait_until("the thread ends", || world.executor.stats().threads == 0).await;
    wait_until("its isolate is gone", || world.executor.stats().warm_isolates == 0).await;
    assert_eq!(world.number(next_delivery()).await, 1);
}
