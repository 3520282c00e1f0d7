//! Each limit, and scripts that exceed it.

use crate::world::{World, failure, stuck};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_core::{ExecError, Failure, Handler, Micros, Outcome, ScriptName};
use tidegate_exec_script::Limits;
use tidegate_ports::{Executor, StartWait};

fn assert_failure(failure: &Failure, error: ExecError, words: &str) {
    assert_eq!(failure.error, error, "{}", failure.message);
    assert!(failure.message.contains(words), "{}", failure.message);
}

#[tokio::test]
async fn every_kind_of_endless_loop_times_out() {
    for source in [
        "export default () => { for (;;) {} }",
        "export default async () => { for (;;) await null }",
        "export default async () => { for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } } }",
        "export default () => new Promise((r) => { const f = () => Promise.resolve().then(f); f(); })",
        "export default async (e, ctx) => { for (;;) await ctx.sleep(1) }",
    ] {
        let began = Instant::now();
        let failure = failure(World::new(source).run_for(Duration::from_millis(200)).await);
        assert_failure(&failure, ExecError::Timeout, "timeout_ms of 200 ms");
        assert!(began.elapsed() < Duration::from_secs(2), "{source} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn cpu_time_is_limited_and_sleeping_uses_none() {
    let limits = Limits { cpu_ms_max: 100, ..Limits::default() };
    let world = World::with_limits("export default async () => { for (;;) { await null } }", limits);
    assert_failure(&world.failure().await, ExecError::ResourceLimit, "scripts.cpu_ms_max");
    let sleeping = World::with_limits("export default async (e, ctx) => { await ctx.sleep(300) }", limits);
    assert!(matches!(sleeping.run().await, Outcome::Succeeded { .. }), "sleeping uses no CPU time");
}

#[tokio::test]
async fn memory_use_is_limited() {
    for source in [
        "export default () => { let s = 'x'; for (;;) s += s }",
        "export default () => { const a = []; for (;;) a.push(new Array(1000).fill(1)) }",
        "export default () => { const a = []; for (;;) a.push({ a: [] }) }",
        "export default () => new ArrayBuffer(1 << 30)",
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ResourceLimit, "scripts.memory_bytes_max");
    }
}

#[tokio::test]
async fn stack_use_is_limited() {
    for source in [
        "export default function f() { return f() + 1 }",
        "export default () => { const f = (n) => [n].map(() => f(n + 1)); f(0) }",
        "export default () => { let a = []; for (let i = 0; i < 100000; i++) a = [a]; JSON.stringify(a) }",
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ResourceLimit, "scripts.stack_bytes_max");
    }
}

#[tokio::test]
async fn nesting_in_text_that_is_too_deep_is_a_resource_limit() {
    for source in [
        "export default () => eval('['.repeat(1e5))",
        "export default () => eval('('.repeat(1e5) + '1' + ')'.repeat(1e5))",
        "export default () => eval('-'.repeat(1e5) + '1')",
        "export default () => eval('{'.repeat(1e5))",
        "export default () => new Function('return ' + '!'.repeat(1e5) + '1')",
        "export default () => eval('1' + '+1'.repeat(3e6))",
        "export default () => eval('var a = [' + '1,'.repeat(5e6) + ']')",
        "export default () => JSON.parse('['.repeat(1e6))",
        "export default () => new RegExp('(?:'.repeat(1e6))",
    ] {
        let failure = World::new(source).failure().await;
        assert_eq!(failure.error, ExecError::ResourceLimit, "{source}: {}", failure.message);
        assert!(failure.message.contains("scripts."), "{source}: {}", failure.message);
    }
}

#[tokio::test]
async fn a_thrown_null_is_an_error_of_the_script() {
    for source in [
        "export default () => { throw null }",
        "export default async () => { await null; throw null }",
        "export default async () => { Promise.reject(null) }",
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ScriptError, "threw null");
    }
    let world = World::new(
        "export default (event, ctx) => {
            if (ctx.attempt === 2) throw null;
            try { const a = []; for (;;) a.push(new Array(1000).fill(1)) } catch {}
            throw new Error('recovered');
        }",
    );
    assert_failure(&world.failure().await, ExecError::ScriptError, "threw null");
}

#[tokio::test]
async fn an_error_whose_text_mentions_memory_is_an_error_of_the_script() {
    for thrown in ["new Error('the printer is out of memory')", "new TypeError('out of memory')", "'out of memory'"] {
        let failure = World::new(&format!("export default () => {{ throw {thrown} }}")).failure().await;
        assert_failure(&failure, ExecError::ScriptError, "out of memory");
    }
}

#[tokio::test]
async fn a_promise_that_can_never_settle_fails_at_once() {
    let began = Instant::now();
    let failure = World::new("export default () => new Promise(() => {})").failure().await;
    assert_failure(&failure, ExecError::ScriptError, "can never settle");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_failure_names_the_exception_and_its_place() {
    for (source, words) in [
        ("export default () => { throw new TypeError('no order') }", "TypeError: no order\nat"),
        ("export default async () => { await null; throw 'text' }", "threw \"text\""),
        ("export default async () => { throw { status: 5 } }", "threw {\"status\":5}"),
        ("export default async () => { throw undefined }", "threw undefined"),
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ScriptError, words);
    }
}

#[tokio::test]
async fn an_error_that_is_the_same_at_the_next_attempt_is_a_defect() {
    for (source, words) in [
        ("export default () => missing.thing", "ReferenceError: missing is not defined"),
        ("export default async () => { await null; missing() }", "ReferenceError: missing is not defined"),
        ("export default async () => { queueMicrotask(() => missing) }", "ReferenceError: missing is not defined"),
        ("export default () => { early; let early }", "ReferenceError"),
        ("export default () => eval('let let')", "SyntaxError"),
        ("export default () => JSON.parse('{')", "SyntaxError"),
        ("export default () => new RegExp('(')", "SyntaxError"),
        ("export default () => { class Bad extends SyntaxError {} throw new Bad('mine') }", "SyntaxError: mine"),
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ScriptDefect, words);
    }
    for source in
        ["export default (event) => event.data.no.such", "export default () => { throw new TypeError('data') }"]
    {
        assert_failure(&World::new(source).failure().await, ExecError::ScriptError, "TypeError");
    }
}

#[tokio::test]
async fn an_error_can_set_the_delay_of_the_next_attempt() {
    let retry_after = |source: &'static str| async move { World::new(source).failure().await.retry_after };
    let ms = "export default () => { throw Object.assign(new Error('busy'), { retryAfterMs: 1500 }) }";
    assert_eq!(retry_after(ms).await, Some(Micros::from_millis(1_500)));
    let seconds = "export default () => { throw Object.assign(new Error('busy'), { retryAfter: 2 }) }";
    assert_eq!(retry_after(seconds).await, Some(Micros::from_secs(2)));
    let long = retry_after("export default () => { throw { retryAfterMs: 1e300 } }").await;
    assert!(long.is_some_and(|requested| requested > Failure::RETRY_AFTER_MAX), "the core cuts it, with a note");
    for absent in ["{}", "{ retryAfterMs: undefined }", "{ retryAfter: null }"] {
        let failure = World::new(&format!("export default () => {{ throw {absent} }}")).failure().await;
        assert_eq!((failure.retry_after, failure.message.lines().count()), (None, 1), "{absent}");
    }
}

#[tokio::test]
async fn a_failure_names_a_retry_after_that_is_not_used() {
    for (thrown, words) in [
        ("{ retryAfterMs: -1 }", "retryAfterMs is -1 and was not used"),
        ("{ retryAfterMs: 0 }", "retryAfterMs is 0 and was not used"),
        ("{ retryAfterMs: 1 / 0 }", "retryAfterMs is Infinity and was not used"),
        ("{ retryAfter: NaN }", "retryAfter is NaN and was not used"),
        ("{ retryAfterMs: '500' }", "retryAfterMs is \"500\" and was not used"),
        ("{ retryAfterMs: [], retryAfter: 2 }", "retryAfterMs is [] and was not used"),
        ("{ get retryAfter() { throw 1 } }", "retryAfter is a getter that throws and was not used"),
        ("Object.assign(new Error('busy'), { retryAfter: 'soon' })", "retryAfter is \"soon\" and was not used"),
    ] {
        let failure = World::new(&format!("export default () => {{ throw {thrown} }}")).failure().await;
        assert_failure(&failure, ExecError::ScriptError, words);
        let last = failure.message.lines().last().unwrap_or_default();
        assert!(last.starts_with(words) && failure.retry_after.is_none(), "{thrown}: {failure:?}");
    }
}

#[tokio::test]
async fn a_script_without_a_handler_is_unavailable() {
    for (source, words) in [
        ("export default async (event => {", "does not compile: SyntaxError"),
        ("export const x = 1", "no default export"),
        ("export default 17", "no default export"),
        ("", "no default export"),
        ("import x from 'y'; export default () => x", "script"),
        ("throw new Error('at load'); export default () => {}", "while it was loaded: Error: at load"),
        ("await null; missing; export default () => {}", "while it was loaded: ReferenceError: missing"),
        ("JSON.parse(''); export default () => {}", "while it was loaded: SyntaxError"),
        ("await new Promise(() => {}); export default () => {}", "while it was loaded"),
        ("export default missing", "while it was loaded: ReferenceError"),
    ] {
        assert_failure(&World::new(source).failure().await, ExecError::ScriptUnavailable, words);
    }
}

#[tokio::test]
async fn a_missing_script_or_handler_is_reported() {
    let world = World::new("export default () => {}");
    for handler in [Some(Handler::Script(ScriptName::new("other").unwrap())), None] {
        let delivery = tidegate_core::Delivery { handler, ..crate::world::delivery(Duration::from_secs(1)) };
        let outcome = world.executor.execute(Arc::new(delivery), &StartWait::begin()).await;
        assert_eq!(failure(outcome).error, ExecError::HandlerMissing);
    }
}

/// `indexOf` is a built-in function, which cannot be interrupted. This call compares about 17
/// billion characters.
const LONG_BUILT_IN: &str =
    "export default (event, ctx) => { if (ctx.attempt !== 9) 'a'.repeat(1 << 21).indexOf('a'.repeat(1 << 13) + 'b') }";

#[tokio::test]
async fn an_execution_in_a_long_built_in_function_times_out() {
    let began = Instant::now();
    let world = World::new(LONG_BUILT_IN);
    let failure = failure(world.run_for(Duration::from_millis(100)).await);
    assert_failure(&failure, ExecError::Timeout, "timeout_ms of 100 ms");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(failure.message.contains("its thread is stuck"), "{}", failure.message);
    assert_eq!(stuck(&world), 1);
}

#[tokio::test]
async fn the_number_of_effects_is_limited() {
    let world =
        World::new("export default async (e, ctx) => { for (let i = 0; ; i++) await ctx.kv.set('c', 'k' + i, i) }");
    assert_failure(&world.failure().await, ExecError::ScriptError, "at most 1000 writes and events");
}
