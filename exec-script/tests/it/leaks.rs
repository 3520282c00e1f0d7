//! What a script tries to carry from one execution into the next.

use crate::warm::next;
use crate::world::World;
use std::sync::Arc;
use tidegate_core::*;
use tidegate_exec_script::Limits;
use tidegate_ports::Executor;

/// Keeps the first execution's `ctx` and does `what` with it in the second one.
fn keeps_ctx(what: &str) -> String {
    format!(
        "let kept; export default async (event, ctx) => {{
            if (!kept) {{ kept = ctx; return 'kept' }}
            try {{ {what}; return 'nothing happened' }} catch (error) {{ return `${{error.code}}: ${{error.message}}` }}
        }}"
    )
}

#[tokio::test]
async fn what_belongs_to_an_ended_execution_fails_loudly() {
    for what in [
        "await kept.kv.get('c', 'k')",
        "await kept.kv.set('c', 'k', 1)",
        "await kept.kv.delete('c', 'k')",
        "await kept.kv.list('c')",
        "await kept.emit('a', 1)",
        "await kept.sleep(1)",
        "kept.signal.aborted",
        "kept.signal.throwIfAborted()",
    ] {
        let world = World::new(&keeps_ctx(what));
        assert_eq!(world.text(next()).await, "\"kept\"");
        let text = world.text(next()).await;
        assert!(text.starts_with("\"execution_ended: this execution has ended"), "{what}: {text}");
    }
}

#[tokio::test]
async fn what_an_ended_execution_stages_is_staged_nowhere() {
    let world = World::new(&keeps_ctx("await kept.kv.set('c', 'old', 1)"));
    assert_eq!(world.effects().await, Effects::default());
    assert_eq!(world.effects().await, Effects::default());
}

#[tokio::test]
async fn reads_and_writes_of_one_execution_are_not_those_of_the_next() {
    let source = "export default async (event, ctx) => {
        const seen = await ctx.kv.get('c', 'k');
        if (ctx.attempt === 1) { await ctx.kv.set('c', 'k', 'mine'); await ctx.emit('a') }
        return seen;
    }";
    let world = World::new(source);
    world.values.put("c", "k", "1", 5);
    assert_eq!(world.text(Delivery { attempt: 1, ..next() }).await, "1");
    world.values.put("c", "k", "2", 6);
    assert_eq!(world.text(next()).await, "2", "neither the write nor the read of the execution before");
    let effects = world.effects().await;
    assert_eq!((effects.writes.len(), effects.events.len(), effects.reads.len()), (0, 0, 1));
    assert_eq!(effects.reads[0].version, Some(Version(6)));
}

#[tokio::test]
async fn bounds_are_counted_anew_for_each_execution() {
    let limits = Limits { effects_max: 2, ..Limits::default() };
    let source = "export default async (event, ctx) => { await ctx.emit('a'); await ctx.emit('b') }";
    let world = World::with_limits(source, limits);
    for _ in 0..3 {
        assert_eq!(world.effects().await.events.len(), 2);
    }
    assert_eq!(world.executor.stats().warm_isolates, 1, "all of it in one isolate");
}

#[tokio::test]
async fn an_isolate_with_jobs_left_behind_is_not_used_again() {
    let source = "let n = 0; export default (event, ctx) => {
        (async () => { for (let i = 0; i < 10; i++) await null; await ctx.kv.set('c', 'late', 1); })();
        return ++n;
    }";
    let world = World::new(source);
    for _ in 0..3 {
        assert_eq!(world.number(next()).await, 1);
        assert_eq!(world.effects().await, Effects::default(), "who does not wait for a write does not write");
    }
    assert_eq!(world.executor.stats().warm_isolates, 0);
}

#[tokio::test]
async fn a_promise_that_the_next_execution_settles_reaches_no_host() {
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
    assert_eq!(world.text(next()).await, "\"nothing\"");
    assert_eq!(world.text(next()).await, "\"execution_ended\"");
}

#[tokio::test]
async fn globals_and_prototypes_are_changed_for_nobody_else() {
    let pollutes = "let n = 0;
        Object.prototype.polluted = 'yes'; Array.prototype.map = () => ['mine']; globalThis.shared = 'yes';
        globalThis.console = { log() {} }; JSON.parse = () => 'mine'; Promise.prototype.then = undefined;
        export default () => ++n";
    let looks = "export default async (event, ctx) => {
        await ctx.kv.list('c');
        return [{}.polluted, [1].map((n) => n + 1), globalThis.shared, JSON.parse('7'), Object.keys(console).length];
    }";
    let world = World::new(pollutes);
    assert_eq!(world.number(next()).await, 1);
    world.change_script(2, looks);
    let text = world.text(Delivery { script_version: Some(2), ..next() }).await;
    assert_eq!(text, "[null,[2],null,7,5]");
    assert_eq!(world.executor.stats().threads, 1, "both ran on the same thread");
}

#[tokio::test]
async fn a_failure_leaves_nothing_behind() {
    let source = "let n = 0; globalThis.m ??= 0; export default (event, ctx) => {
        n++;
        if (ctx.attempt === 3) throw new Error('no');
        if (ctx.attempt === 4) return 10n;
        return n;
    }";
    let world = World::new(source);
    for attempt in [3, 4] {
        assert_eq!(world.number(next()).await, 1);
        assert_eq!(world.number(next()).await, 2);
        let call = Delivery {
            attempt,
            reply_to: Some(InboxId { incarnation: Incarnation(uuid::Uuid::nil()), seq: 1 }),
            ..next()
        };
        let outcome = world.executor.execute(Arc::new(call)).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }
    assert_eq!(world.number(next()).await, 1);
}
