//! A script cannot carry its host, effects or limits from one execution into the next.

use crate::warm::next_delivery;
use crate::world::World;
use std::sync::Arc;
use tidegate_core::*;
use tidegate_exec_script::Limits;
use tidegate_ports::{Executor, StartWait};

/// A script that keeps the `ctx` of its first execution, and evaluates `expression` with it in the
/// second one.
fn keep_ctx(expression: &str) -> String {
    format!(
        "let kept; export default async (event, ctx) => {{
            if (!kept) {{ kept = ctx; return 'kept' }}
            try {{ {expression}; return 'nothing happened' }} catch (error) {{ return `${{error.code}}: ${{error.message}}` }}
        }}"
    )
}

#[tokio::test]
async fn a_call_for_an_ended_execution_fails() {
    for expression in [
        "await kept.kv.get('c', 'k')",
        "await kept.kv.set('c', 'k', 1)",
        "await kept.kv.delete('c', 'k')",
        "await kept.kv.list('c')",
        "await kept.emit('a', 1)",
        "await kept.sleep(1)",
        "kept.signal.aborted",
        "kept.signal.throwIfAborted()",
    ] {
        let world = World::new(&keep_ctx(expression));
        assert_eq!(world.text(next_delivery()).await, "\"kept\"");
        let text = world.text(next_delivery()).await;
        assert!(text.starts_with("\"execution_ended: this execution has ended"), "{expression}: {text}");
    }
}

#[tokio::test]
async fn a_write_for_an_ended_execution_is_not_staged() {
    let world = World::new(&keep_ctx("await kept.kv.set('c', 'old', 1)"));
    assert_eq!(world.effects().await, Effects::default());
    assert_eq!(world.effects().await, Effects::default());
}

#[tokio::test]
async fn an_execution_has_no_reads_and_writes_of_the_one_before() {
    let source = "export default async (event, ctx) => {
        const seen = await ctx.kv.get('c', 'k');
        if (ctx.attempt === 1) { await ctx.kv.set('c', 'k', 'mine'); await ctx.emit('a') }
        return seen;
    }";
    let world = World::new(source);
    world.values.put("c", "k", "1", 5);
    assert_eq!(world.text(Delivery { attempt: 1, ..next_delivery() }).await, "1");
    world.values.put("c", "k", "2", 6);
    assert_eq!(world.text(next_delivery()).await, "2", "the write and the read of the execution before are gone");
    let effects = world.effects().await;
    assert_eq!((effects.writes.len(), effects.events.len(), effects.reads.len()), (0, 0, 1));
    assert_eq!(effects.reads[0].version, Some(Version(6)));
}

#[tokio::test]
async fn effects_max_is_counted_for_each_execution() {
    let limits = Limits { effects_max: 2, ..Limits::default() };
    let source = "export default async (event, ctx) => { await ctx.emit('a'); await ctx.emit('b') }";
    let world = World::with_limits(source, limits);
    for _ in 0..3 {
        assert_eq!(world.effects().await.events.len(), 2);
    }
    assert_eq!(world.executor.stats().warm_isolates, 1, "one isolate ran all executions");
}

#[tokio::test]
async fn work_that_is_not_awaited_belongs_to_its_own_execution() {
    let source = "let n = 0; export default (event, ctx) => {
        (async () => { for (let i = 0; i < 10; i++) await null; await ctx.kv.set('c', ctx.executionId, ++n); })();
        return n;
    }";
    let world = World::new(source);
    for n in 0..3 {
        assert_eq!(world.number(next_delivery()).await, 2 * n);
        assert_eq!(world.effects().await.writes.len(), 1);
    }
    assert_eq!(world.executor.stats().warm_isolates, 1, "no job is left, so the isolate is used again");
}

#[tokio::test]
async fn a_promise_of_an_ended_execution_cannot_call_the_host() {
    let source = "let settle, got = 'nothing'; export default async (event, ctx) => {
        if (!settle) {
            new Promise((resolve) => { settle = resolve }).then(() => ctx.kv.set('c', 'k', 1)).catch((e) => { got = e.code });
            return got;
        }
        settle();
        for (let i = 0; i < 20; i++) await null;
        return got;
    }";
    let world = World::new(source);
    assert_eq!(world.text(next_delivery()).await, "\"nothing\"");
    assert_eq!(world.text(next_delivery()).await, "\"execution_ended\"");
}

#[tokio::test]
async fn changed_globals_and_prototypes_do_not_reach_another_version() {
    let polluting = "let n = 0;
        Object.prototype.polluted = 'yes'; Array.prototype.map = () => ['mine']; globalThis.shared = 'yes';
        globalThis.console = { log() {} }; JSON.parse = () => 'mine'; Promise.prototype.then = undefined;
        export default () => ++n";
    let reading = "export default async (event, ctx) => {
        await ctx.kv.list('c');
        return [{}.polluted, [1].map((n) => n + 1), globalThis.shared, JSON.parse('7'), Object.keys(console).length];
    }";
    let world = World::new(polluting);
    assert_eq!(world.number(next_delivery()).await, 1);
    world.change_script(2, reading);
    let text = world.text(Delivery { script_version: Some(2), ..next_delivery() }).await;
    assert_eq!(text, "[null,[2],null,7,5]");
    assert_eq!(world.executor.stats().threads, 1, "both ran on the same thread");
}

#[tokio::test]
async fn an_isolate_whose_execution_failed_is_not_used_again() {
    let source = "let n = 0; globalThis.m ??= 0; export default (event, ctx) => {
        n++;
        if (ctx.attempt === 3) throw new Error('no');
        if (ctx.attempt === 4) return 10n;
        return n;
    }";
    let world = World::new(source);
    for attempt in [3, 4] {
        assert_eq!(world.number(next_delivery()).await, 1);
        assert_eq!(world.number(next_delivery()).await, 2);
        let call = Delivery {
            attempt,
            reply_to: Some(InboxId { incarnation: Incarnation(uuid::Uuid::nil()), seq: 1 }),
            ..next_delivery()
        };
        let outcome = world.executor.execute(Arc::new(call), &StartWait::begin()).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }
    assert_eq!(world.number(next_delivery()).await, 1);
}
