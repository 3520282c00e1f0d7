//! The executions that share a warm isolate, and those that do not.

use crate::world::{World, delivery};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::Limits;

/// Returns the number of executions that its isolate has run.
pub(crate) const COUNTER: &str = "let n = 0; export default () => ++n";

pub(crate) fn next_delivery() -> Delivery {
    delivery(Duration::from_secs(20))
}

#[tokio::test]
async fn consecutive_executions_load_the_module_once() {
    let world = World::new(COUNTER);
    for expected in 1..=5 {
        assert_eq!(world.number(next_delivery()).await, expected);
    }
    let stats = world.executor.stats();
    assert_eq!((stats.threads, stats.warm_isolates), (1, 1));
}

#[tokio::test]
async fn apps_triggers_and_principals_share_no_warm_isolate() {
    let world = World::new(COUNTER);
    assert_eq!(world.number(next_delivery()).await, 1);
    let app = Event { app: AppName::new("b").unwrap(), ..next_delivery().event };
    for (difference, other) in [
        ("another app", Delivery { event: app, ..next_delivery() }),
        ("another trigger", Delivery { trigger_id: TriggerId(4), ..next_delivery() }),
        ("another principal", Delivery { runs_as: PrincipalId::new("user:eve").unwrap(), ..next_delivery() }),
    ] {
        assert_eq!(world.number(other.clone()).await, 1, "{difference}");
        assert_eq!(world.number(other).await, 2, "{difference} has its own isolate");
    }
    assert_eq!(world.number(next_delivery()).await, 2, "the first isolate is still warm");
}

#[tokio::test]
async fn a_new_version_never_runs_in_an_old_isolate() {
    let world = World::new(COUNTER);
    assert_eq!(world.number(next_delivery()).await, 1);
    world.change_script(2, "let n = 100; export default () => ++n");
    let second = Delivery { script_version: Some(2), ..next_delivery() };
    assert_eq!(world.number(second.clone()).await, 101);
    assert_eq!(world.number(second).await, 102);
    assert_eq!(
        world.number(next_delivery()).await,
        103,
        "a claim of the old version runs the new version once that is cached"
    );
}

#[tokio::test]
async fn a_trigger_with_fresh_isolation_never_uses_a_warm_isolate() {
    let world =
        World::new("globalThis.n = (globalThis.n ?? 0) + 1; let n = 0; export default () => ++n + globalThis.n");
    world.change_trigger(1, Isolation::Fresh);
    for _ in 0..3 {
        assert_eq!(world.number(next_delivery()).await, 2);
    }
    assert_eq!(world.executor.stats().warm_isolates, 0);
    world.change_trigger(2, Isolation::Warm);
    assert_eq!(world.number(next_delivery()).await, 2, "the claim has the version before the change");
    let changed = Delivery { trigger_version: 2, ..next_delivery() };
    assert_eq!(world.number(changed.clone()).await, 2);
    assert_eq!(world.number(changed.clone()).await, 3, "claims of the new version use a warm isolate");
    world.change_trigger(3, Isolation::Fresh);
    assert_eq!(
        world.number(Delivery { trigger_version: 3, ..next_delivery() }).await,
        2,
        "the warm isolate is not used"
    );
}

#[tokio::test]
async fn every_execution_starts_fresh_if_warm_isolates_max_is_0() {
    let world = World::with_limits(COUNTER, Limits { warm_isolates_max: 0, ..Limits::default() });
    for _ in 0..3 {
        assert_eq!(world.number(next_delivery()).await, 1);
    }
}

#[tokio::test]
async fn each_execution_in_a_warm_isolate_gets_its_own_event_and_context() {
    let world =
        World::new("export default (event, ctx) => [event.data, ctx.attempt, ctx.fencingToken, ctx.executionId]");
    for n in 1..=3 {
        let event = Event { data: Json::parse(&n.to_string()).unwrap(), ..next_delivery().event };
        let lease = Lease(i64::from(n) + 10);
        let text = world.text(Delivery { event, attempt: n, lease, ..next_delivery() }).await;
        assert_eq!(text, format!("[{n},{n},{},\"7-{}\"]", n + 10, n + 10));
    }
}

#[tokio::test]
async fn a_stack_is_the_same_in_a_fresh_and_in_a_warm_isolate() {
    let source = "\n\nexport default (event, ctx) => { if (ctx.attempt > 1) throw new Error('x'); return 1 }";
    let failed = |world: World| async move { world.failure().await.message };
    let fresh = failed(World::new(source)).await;
    let world = World::new(source);
    world.number(Delivery { attempt: 1, ..next_delivery() }).await;
    assert_eq!(failed(world).await, fresh);
    assert!(fresh.contains("(s:3:"), "{fresh}");
    let again = World::new(source);
    again.failure().await;
    assert_eq!(again.failure().await.message, fresh, "the stack is the same after loading from bytecode");
}
