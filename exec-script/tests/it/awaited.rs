//! Work that a script starts and does not await.

use crate::world::World;
use std::time::{Duration, Instant};
use tidegate_core::*;

fn keys(effects: &Effects) -> Vec<&str> {
    effects.writes.iter().map(|write| write.key.as_str()).collect()
}

#[tokio::test]
async fn work_that_is_not_awaited_ends_before_the_run() {
    for start in [
        "work()",
        "Promise.resolve().then(work)",
        "queueMicrotask(work)",
        "queueMicrotask(() => queueMicrotask(() => queueMicrotask(work)))",
        "[1].forEach(async () => { await null; await work() })",
        "(async () => { for await (const one of [1]) await work(one) })()",
    ] {
        let source = format!(
            "export default (event, ctx) => {{
                const work = async () => {{ for (let i = 0; i < 50; i++) await null; await ctx.kv.set('c', 'late', 1) }};
                {start};
            }}"
        );
        assert_eq!(keys(&World::new(&source).effects().await), ["late"], "{start}");
    }
}

#[tokio::test]
async fn an_unhandled_rejection_fails_the_run() {
    for (start, words) in [
        ("ctx.kv.set('orders/2026', event.subject, 1)", "TypeError: ctx.kv.set"),
        ("ctx.emit('', {})", "TypeError: ctx.emit"),
        ("ctx.kv.set('c', 'k', undefined)", "TypeError: the value"),
        ("(async () => { await null; throw new RangeError('late') })()", "RangeError: late\nat"),
        ("Promise.reject(new Error('at once'))", "Error: at once\nat"),
        ("queueMicrotask(() => { throw new Error('job') })", "Error: job\nat"),
        ("queueMicrotask(() => queueMicrotask(() => { throw 'inner' }))", "threw \"inner\""),
        ("new Promise(() => { throw new Error('executor') })", "Error: executor\nat"),
        ("[1, 2].forEach(async (n) => { throw new Error(`item ${n}`) })", "Error: item 1\nat"),
        ("Promise.all([Promise.reject(new Error('one of all'))])", "Error: one of all\nat"),
        ("Promise.resolve(1).then(() => { throw new Error('in then') })", "Error: in then\nat"),
        ("Promise.reject(new Error('finally')).finally(() => {})", "Error: finally\nat"),
        ("import('other')", "other"),
    ] {
        for rest in ["", "await null;", "await ctx.kv.set('c', 'k', 1);"] {
            let source = format!("export default async (event, ctx) => {{ {start}; {rest} }}");
            let failure = World::new(&source).failure().await;
            assert!(failure.message.contains(words), "{start}: {}", failure.message);
            assert!(failure.message.contains("did not await"), "{start}: {}", failure.message);
        }
    }
}

#[tokio::test]
async fn a_rejection_that_is_handled_later_fails_nothing() {
    for handle in [
        "ctx.kv.set('a/b', 'k', 1).catch(() => {})",
        "const p = Promise.reject(1); await null; await null; await p.catch(() => {})",
        "const p = Promise.reject(1); queueMicrotask(() => p.then(null, () => {}))",
        "await Promise.allSettled([Promise.reject(1), Promise.reject(2)])",
        "await Promise.any([Promise.reject(1), Promise.resolve(2)])",
        "await Promise.race([Promise.resolve(1), Promise.reject(2)])",
        "try { await ctx.emit('') } catch {}",
    ] {
        let source = format!("export default async (event, ctx) => {{ {handle} }}");
        assert!(matches!(World::new(&source).run().await, Outcome::Succeeded { .. }), "{handle}");
    }
}

#[tokio::test]
async fn the_error_of_the_handler_comes_before_that_of_other_work() {
    let failure =
        World::new("export default async () => { Promise.reject(1); throw new Error('mine') }").failure().await;
    assert!(failure.message.starts_with("Error: mine\nat"), "{}", failure.message);
}

#[tokio::test]
async fn a_promise_that_waits_for_rejected_work_fails_with_its_error() {
    let source = "export default () => new Promise((resolve) => { Promise.reject(new Error('why')).then(resolve) })";
    let failure = World::new(source).failure().await;
    assert!(failure.message.starts_with("Error: why\nat"), "{}", failure.message);
}

#[tokio::test]
async fn endless_work_that_is_not_awaited_times_out() {
    for source in [
        "export default () => { (async () => { for (;;) await null })() }",
        "export default () => { const f = () => { queueMicrotask(f); queueMicrotask(f); }; f() }",
    ] {
        let began = Instant::now();
        let failure = crate::world::failure(World::new(source).run_for(Duration::from_millis(200)).await);
        assert!(matches!(failure.error, ExecError::Timeout | ExecError::ResourceLimit), "{failure:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{source} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_rejection_of_one_execution_fails_no_later_one() {
    let world = World::new(
        "let kept; export default async (event, ctx) => {
            if (ctx.attempt === 9) { await Promise.reject(new Error('once')) }
            kept ??= Promise.resolve();
        }",
    );
    for attempt in [2, 9, 2, 2] {
        let delivery = Delivery { attempt, ..crate::world::delivery(Duration::from_secs(20)) };
        let start_wait = tidegate_ports::StartWait::begin();
        let outcome =
            tidegate_ports::Executor::execute(&*world.executor, std::sync::Arc::new(delivery), &start_wait).await;
        assert_eq!(matches!(outcome, Outcome::Failed(_)), attempt == 9, "{attempt}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_rejection_at_the_top_level_makes_the_script_unavailable() {
    let source = "Promise.reject(new Error('top')); export default () => {}";
    let failure = World::new(source).failure().await;
    assert_eq!(failure.error, ExecError::ScriptUnavailable, "{}", failure.message);
    assert!(failure.message.contains("Error: top"), "{}", failure.message);
    let refused = tidegate_exec_script::check("s", source, tidegate_exec_script::Limits::default()).unwrap_err();
    assert!(refused.message.contains("Error: top"), "{refused}");
}
