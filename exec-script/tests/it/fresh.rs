//! Fresh executions find nothing that earlier executions left, although they reuse the same memory.

use crate::warm::next_delivery;
use crate::world::{World, delivery, failure};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::Limits;
use tidegate_ports::{Executor, StartWait};

fn fresh_with(source: &str, limits: Limits) -> World {
    let world = World::with_limits(source, limits);
    world.change_trigger(1, Isolation::Fresh);
    world
}

fn fresh(source: &str) -> World {
    fresh_with(source, Limits::default())
}

/// The `ctx.attempt` of the execution that changes as much as it can.
const CHANGES: u32 = 9;

fn changing() -> Delivery {
    Delivery { attempt: CHANGES, ..next_delivery() }
}

/// Describes everything that can be reached from the global object: properties, attributes,
/// prototypes and values.
const DESCRIBE: &str = "
    const describe = () => {
        const seen = new Map(), out = [];
        const walk = (value, path) => {
            if (Object(value) !== value) return void out.push(`${path} = ${typeof value} ${String(value)}`);
            if (seen.has(value)) return void out.push(`${path} -> ${seen.get(value)}`);
            seen.set(value, path);
            out.push(`${path} ${typeof value} ${Object.isExtensible(value)}`);
            for (const key of Reflect.ownKeys(value)) {
                const property = Reflect.getOwnPropertyDescriptor(value, key), at = `${path}/${String(key)}`;
                out.push(`${at} ${property.writable} ${property.enumerable} ${property.configurable}`);
                if ('value' in property) walk(property.value, at);
                else { walk(property.get, at + '<'); walk(property.set, at + '>') }
            }
            walk(Object.getPrototypeOf(value), path + '^');
        };
        walk(globalThis, '');
        let hash = 0;
        for (const line of out) for (let i = 0; i < line.length; i++) hash = (hash * 31 + line.charCodeAt(i)) | 0;
        return [out.length, hash];
    };
";

#[tokio::test]
async fn a_fresh_execution_finds_no_change_of_the_one_before() {
    let source = format!(
        "{DESCRIBE}
        export default (event, ctx) => {{
            const before = describe();
            if (ctx.attempt === {CHANGES}) {{
                Object.prototype.polluted = 'yes'; delete Array.prototype.map; Error.stackTraceLimit = 1;
                globalThis.secret = {{ of: 'ann' }}; delete globalThis.console; JSON.parse = () => 'mine';
                Object.freeze(Promise.prototype); Object.defineProperty(Math, 'max', {{ get: () => 3 }});
                Array.prototype.push.mine = Symbol.for('mine'); Object.setPrototypeOf(Map.prototype, Set.prototype);
            }}
            return [before, describe()];
        }}"
    );
    let world = fresh(&source);
    let first = world.text(next_delivery()).await;
    let [before, after]: [(u32, i32); 2] = serde_json::from_str(&first).unwrap();
    assert!(before == after && before.0 > 1_000, "{first}");
    for _ in 0..3 {
        let changed = world.text(changing()).await;
        let [at_first, at_last]: [(u32, i32); 2] = serde_json::from_str(&changed).unwrap();
        assert_eq!(at_first, before);
        assert_ne!(at_last, before, "an execution sees its own changes");
        assert_eq!(world.text(next_delivery()).await, first);
        let other_principal = Delivery { runs_as: PrincipalId::new("user:eve").unwrap(), ..next_delivery() };
        assert_eq!(world.text(other_principal).await, first);
    }
    assert_eq!(world.executor.stats().threads, 1, "all executions ran on one thread");
}

#[tokio::test]
async fn finalizers_of_one_fresh_execution_never_run_in_another() {
    let source = "export default (event, ctx) => {
        globalThis.registry = new FinalizationRegistry(() => { ctx.kv.set('c', 'last', 1) });
        registry.register(globalThis.kept = {}, 1);
        return typeof globalThis.left + (globalThis.left = new WeakRef(ctx) && 'left');
    }";
    let world = fresh(source);
    for _ in 0..5 {
        assert_eq!(world.text(next_delivery()).await, "\"undefinedleft\"");
        assert_eq!(world.effects().await, Effects::default());
    }
}

#[tokio::test]
async fn functions_of_the_host_survive_a_script_that_deletes_them() {
    let source = "export default async (event, ctx) => {
        if (ctx.attempt !== 9) {
            console.log('still there');
            return [crypto.randomUUID().length, typeof Math.random(), await ctx.kv.get('c', 'k')];
        }
        for (const name of Reflect.ownKeys(globalThis)) try { delete globalThis[name] } catch {}
        for (let i = 0; i < 20_000; i++) { const a = { b: {} }; a.b.a = a }
        return null;
    }";
    let world = fresh(source);
    for _ in 0..10 {
        assert_eq!(world.text(changing()).await, "null");
        assert_eq!(world.text(next_delivery()).await, "[36,\"number\",null]");
    }
}

#[tokio::test]
async fn a_fresh_execution_can_use_all_of_its_memory() {
    let source = "export default () => { globalThis.kept = new Uint8Array(5 << 20).fill(7); return kept.length }";
    let world = fresh_with(source, Limits { memory_bytes_max: 8 << 20, ..Limits::default() });
    for _ in 0..30 {
        assert_eq!(world.number(next_delivery()).await, 5 << 20);
    }
}

#[tokio::test]
async fn every_limit_holds_in_a_fresh_execution() {
    let source = "export default async (event, ctx) => {
        globalThis.n = (globalThis.n ?? 0) + 1;
        switch (ctx.attempt) {
            case 3: for (;;) {}
            case 4: { const a = []; for (;;) a.push(new Array(1000).fill(1)) }
            case 5: { const f = () => f() + 1; return f() }
            case 6: return await new Promise(() => {});
            case 7: throw new Error('no');
        }
        return n;
    }";
    let world = fresh(source);
    for _ in 0..2 {
        for (attempt, error) in [
            (3, ExecError::Timeout),
            (4, ExecError::ResourceLimit),
            (5, ExecError::ResourceLimit),
            (6, ExecError::ScriptError),
            (7, ExecError::ScriptError),
        ] {
            assert_eq!(world.number(next_delivery()).await, 1);
            let timeout = Duration::from_millis(if attempt == 3 { 100 } else { 20_000 });
            let outcome =
                world.executor.execute(Arc::new(Delivery { attempt, ..delivery(timeout) }), &StartWait::begin()).await;
            assert_eq!(failure(outcome).error, error, "{attempt}");
        }
    }
}

#[tokio::test]
async fn fresh_executions_draw_different_random_numbers() {
    let world = fresh("export default () => [Math.random(), Math.random.name, Math.random.length].join()");
    let mut drawn = BTreeSet::new();
    for _ in 0..50 {
        drawn.insert(world.text(next_delivery()).await);
    }
    assert_eq!(drawn.len(), 50, "{drawn:?}");
    assert!(drawn.iter().all(|text| text.starts_with("\"0.") && text.ends_with(",random,0\"")), "{drawn:?}");
}

#[tokio::test]
async fn concurrent_fresh_executions_share_no_globals() {
    let source = "export default async (event, ctx) => {
        globalThis.mine ??= event.data;
        await ctx.sleep(event.data % 3);
        return mine;
    }";
    let world = Arc::new(fresh(source));
    let runs: Vec<_> = (0..200)
        .map(|n| {
            let event = Event { data: Json::parse(&n.to_string()).unwrap(), ..next_delivery().event };
            let world = Arc::clone(&world);
            tokio::spawn(async move { (n, world.number(Delivery { event, ..next_delivery() }).await) })
        })
        .collect();
    for run in runs {
        let (n, answered) = run.await.unwrap();
        assert_eq!(answered, n);
    }
}
