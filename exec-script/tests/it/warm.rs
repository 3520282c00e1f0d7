//! For whom an isolate is used again, and for whom never.

use crate::world::{World, delivery};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::Limits;

/// Answers which execution of its isolate this is.
pub(crate) const COUNTS: &str = "let n = 0; export default () => ++n";

pub(crate) fn next() -> Delivery {
    delivery(Duration::from_secs(20))
}

#[tokio::test]
async fn a_module_is_loaded_once_for_executions_one_after_the_other() {
    let world = World::new(COUNTS);
    for expected in 1..=5 {
        assert_eq!(world.number(next()).await, expected);
    }
    let stats = world.executor.stats();
    assert_eq!((stats.threads, stats.warm_isolates), (1, 1));
}

#[tokio::test]
async fn nobody_else_gets_a_warm_isolate() {
    let world = World::new(COUNTS);
    assert_eq!(world.number(next()).await, 1);
    let app = Event { app: AppName::new("b").unwrap(), ..next().event };
    for (what, other) in [
        ("another app", Delivery { event: app, ..next() }),
        ("another trigger", Delivery { trigger_id: TriggerId(4), ..next() }),
        ("another principal", Delivery { runs_as: PrincipalId::new("user:eve").unwrap(), ..next() }),
    ] {
        assert_eq!(world.number(other.clone()).await, 1, "{what}");
        assert_eq!(world.number(other).await, 2, "{what} has its own");
    }
    assert_eq!(world.number(next()).await, 2, "the first one is still there");
}

#[tokio::test]
async fn a_new_version_is_seen_at_once() {
    let world = World::new(COUNTS);
    assert_eq!(world.number(next()).await, 1);
    world.change_script(2, "let n = 100; export default () => ++n");
    let second = Delivery { script_version: Some(2), ..next() };
    assert_eq!(world.number(second.clone()).await, 101);
    assert_eq!(world.number(second).await, 102);
    assert_eq!(world.number(next()).await, 103, "a claim of the old version runs the new one too, once it is known");
}

#[tokio::test]
async fn a_trigger_that_asks_for_it_starts_anew_each_time() {
    let world =
        World::new("globalThis.n = (globalThis.n ?? 0) + 1; let n = 0; export default () => ++n + globalThis.n");
    world.change_trigger(1, Isolation::Fresh);
    for _ in 0..3 {
        assert_eq!(world.number(next()).await, 2);
    }
    assert_eq!(world.executor.stats().warm_isolates, 0);
    world.change_trigger(2, Isolation::Warm);
    assert_eq!(world.number(next()).await, 2, "the claim is of the version before");
    let changed = Delivery { trigger_version: 2, ..next() };
    assert_eq!(world.number(changed.clone()).await, 2);
    assert_eq!(world.number(changed.clone()).await, 3, "from the new version on it stays warm");
    world.change_trigger(3, Isolation::Fresh);
    assert_eq!(world.number(Delivery { trigger_version: 3, ..next() }).await, 2, "a warm one is not used for it");
}

#[tokio::test]
async fn without_warm_isolates_every_execution_starts_anew() {
    let world = World::with_limits(COUNTS, Limits { warm_isolates_max: 0, ..Limits::default() });
    for _ in 0..3 {
        assert_eq!(world.number(next()).await, 1);
    }
}

#[tokio::test]
async fn events_and_their_context_are_those_of_each_execution() {
    let world =
        World::new("export default (event, ctx) => [event.data, ctx.attempt, ctx.fencingToken, ctx.executionId]");
    for n in 1..=3 {
        let event = Event { data: Json::parse(&n.to_string()).unwrap(), ..next().event };
        let lease = Lease(i64::from(n) + 10);
        let text = world.text(Delivery { event, attempt: n, lease, ..next() }).await;
        assert_eq!(text, format!("[{n},{n},{},\"7-{}\"]", n + 10, n + 10));
    }
}

#[tokio::test]
async fn stacks_read_the_same_in_a_fresh_and_in_a_warm_isolate() {
    let source = "\n\nexport default (event, ctx) => { if (ctx.attempt > 1) throw new Error('x'); return 1 }";
    let failed = |world: World| async move { world.failure().await.message };
    let fresh = failed(World::new(source)).await;
    let world = World::new(source);
    world.number(Delivery { attempt: 1, ..next() }).await;
    assert_eq!(failed(world).await, fresh);
    assert!(fresh.contains("(s:3:"), "{fresh}");
    let again = World::new(source);
    again.failure().await;
    assert_eq!(again.failure().await.message, fresh, "loaded from bytecode");
}
