//! The memory that the host holds for an execution: the values that it read, and its effects.

use crate::world::World;
use tidegate_core::*;
use tidegate_exec_script::Limits;

const MEMORY: usize = 8 << 20;
/// The bytes of each of 64 stored values, together twice [`MEMORY`].
const VALUE: usize = 256 << 10;

fn world(body: &str) -> World {
    let limits = Limits { memory_bytes_max: MEMORY, ..Limits::default() };
    let world = World::with_limits(&format!("export default async (event, ctx) => {{ {body} }}"), limits);
    let value = serde_json::to_string(&"x".repeat(VALUE - 2)).unwrap();
    for n in 0..64 {
        world.values.put("big", &format!("k{n:02}"), &value, 1);
    }
    world
}

#[tokio::test]
async fn values_and_effects_that_exceed_the_memory_of_an_execution_are_refused() {
    for body in [
        "await ctx.kv.list('big', { limit: 1000 })",
        "for (let after = null;;) { const page = await ctx.kv.list('big', { limit: 2, after }); after = page.at(-1).key }",
        "for (let i = 10; i < 64; i++) await ctx.kv.get('big', 'k' + i)",
        "const value = 'x'.repeat(250000); for (let i = 0; i < 64; i++) await ctx.kv.set('c', 'k' + i, value)",
        "const value = 'x'.repeat(250000); for (let i = 0; i < 64; i++) await ctx.emit('t', value)",
        "ctx.kv.list('big', { limit: 1000 })",
    ] {
        let failure = world(body).failure().await;
        assert_eq!(failure.error, ExecError::ResourceLimit, "{body}: {}", failure.message);
        assert!(failure.message.contains("scripts.memory_bytes_max"), "{body}: {}", failure.message);
    }
}

#[tokio::test]
async fn an_execution_can_go_on_with_less_after_a_refused_read() {
    let body = "
        let refused;
        try { await ctx.kv.list('big', { limit: 1000 }) } catch (e) { refused = e.code }
        const page = await ctx.kv.list('big', { limit: 2 });
        for (let i = 10; i < 64; i++) await ctx.kv.peek('big', 'k' + i);
        for (let i = 0; i < 100; i++) await ctx.kv.set('out', 'k', [refused, page.length, 'x'.repeat(100000).length]);
        console.log('x'.repeat(1 << 20));
    ";
    let world = world(body);
    for _ in 0..3 {
        let effects = world.effects().await;
        assert_eq!(effects.writes[0].value, Some(Json::parse(r#"["resource_limit",2,100000]"#).unwrap()));
        assert_eq!(effects.reads.len(), 2, "each execution begins with nothing held");
    }
}

#[tokio::test]
async fn the_bytes_of_the_effects_of_one_execution_are_limited() {
    let limits = Limits { effects_bytes_max: 1 << 20, ..Limits::default() };
    let source = "export default async (event, ctx) => {
        const value = 'x'.repeat(200000), codes = [];
        const stage = async (call) => { try { await call(); codes.push('ok') } catch (e) { codes.push(e.code) } };
        for (let i = 0; i < 4; i++) await stage(() => ctx.kv.set('c', 'k' + i, value));
        await stage(() => ctx.emit('t', value));
        await stage(() => ctx.emit('t', value));
        await stage(() => ctx.kv.set('c', 'k4', value));
        await stage(() => ctx.kv.set('c', 'k0', value));
        await stage(() => ctx.kv.delete('c', 'k1'));
        await stage(() => ctx.kv.set('c', 'k4', value));
        await ctx.kv.set('out', '1', codes);
    }";
    let effects = World::with_limits(source, limits).effects().await;
    let expected = r#"["ok","ok","ok","ok","ok","effects_too_large","effects_too_large","ok","ok","ok"]"#;
    assert_eq!(effects.writes.last().unwrap().value, Some(Json::parse(expected).unwrap()));
    assert_eq!((effects.writes.len(), effects.events.len()), (6, 1), "a refused call stages nothing");

    let uncaught = "export default async (event, ctx) => {
        const row = 'x'.repeat(262100);
        for (let i = 0; i < 400; i++) await ctx.kv.set('rows', event.subject + '-' + i, row);
    }";
    let failure = World::new(uncaught).failure().await;
    assert_eq!(failure.error, ExecError::PayloadTooLarge, "{}", failure.message);
    assert!(failure.message.contains("scripts.effects_bytes_max allows 8388608"), "{}", failure.message);
}
