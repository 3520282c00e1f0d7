//! The data that a script reads, and the effects that it stages.

use crate::world::World;
use tidegate_core::*;

fn write(collection: &str, key: &str, value: Option<&str>) -> KvWrite {
    KvWrite {
        collection: Collection::new(collection).unwrap(),
        key: Key::new(key).unwrap(),
        value: value.map(|value| Json::parse(value).unwrap()),
    }
}

fn read(collection: &str, key: &str, version: Option<i64>) -> ReadVersion {
    ReadVersion {
        collection: Collection::new(collection).unwrap(),
        key: Key::new(key).unwrap(),
        version: version.map(Version),
    }
}

#[tokio::test]
async fn a_script_gets_its_event_and_its_context() {
    let world = World::new(
        r#"export default async function (event, ctx) {
            await ctx.kv.set("seen", "1", [
                event.type, event.subject, event.data.customer, event.triggerdepth, event.specversion,
                ctx.attempt, ctx.maxAttempts, ctx.idempotencyKey, ctx.fencingToken, ctx.executionId, ctx.trigger, ctx.app,
                ctx.signal.aborted, crypto.randomUUID().length,
            ]);
        }"#,
    );
    let seen = r#"["order.created","o/1","ann",0,"1.0",2,5,"00000000-0000-0000-0000-000000000001:3",5,"7-5","t","a",false,36]"#;
    assert_eq!(world.effects().await.writes, [write("seen", "1", Some(seen))]);
}

#[tokio::test]
async fn each_write_read_and_event_is_staged_once() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const old = await ctx.kv.get("c", "there");
            const none = await ctx.kv.get("c", "absent");
            await ctx.kv.set("c", "there", { n: old.n + 1, none });
            await ctx.kv.set("c", "blind", 1);
            await ctx.kv.set("c", "blind", 2);
            await ctx.kv.delete("c", "gone");
            await ctx.emit("a.b", { x: 1 }, { subject: "s" });
            await ctx.emit("a.c");
        }"#,
    );
    world.values.put("c", "there", r#"{"n":1}"#, 9);
    let effects = world.effects().await;
    assert_eq!(effects.reads, [read("c", "absent", None), read("c", "there", Some(9))]);
    assert_eq!(
        effects.writes,
        [write("c", "there", Some(r#"{"n":2,"none":null}"#)), write("c", "blind", Some("2")), write("c", "gone", None)]
    );
    let event = |event_type: &str, subject: &str, data: &str| NewEvent {
        event_type: EventType::new(event_type).unwrap(),
        subject: Subject::new(subject).unwrap(),
        data: Json::parse(data).unwrap(),
    };
    assert_eq!(effects.events, [event("a.b", "s", r#"{"x":1}"#), event("a.c", "", "null")]);
}

#[tokio::test]
async fn a_read_returns_own_writes_and_repeats_the_first_read() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const first = await ctx.kv.get("c", "k");
            await ctx.kv.set("c", "own", "mine");
            const own = await ctx.kv.get("c", "own");
            await ctx.kv.delete("c", "k");
            const deleted = await ctx.kv.get("c", "k");
            await ctx.kv.set("out", "1", [first, own, deleted, await ctx.kv.get("d", "x"), await ctx.kv.get("d", "x")]);
        }"#,
    );
    world.values.put("c", "k", "1", 4);
    let effects = world.effects().await;
    assert_eq!(effects.writes.last().unwrap(), &write("out", "1", Some(r#"[1,"mine",null,null,null]"#)));
    assert_eq!(effects.reads, [read("c", "k", Some(4)), read("d", "x", None)], "reads of own writes are not recorded");
}

#[tokio::test]
async fn a_peek_records_no_version_and_agrees_with_earlier_reads_and_writes() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const hot = [await ctx.kv.peek("c", "hot"), await ctx.kv.peek("c", "absent")];
            await ctx.kv.set("c", "own", "mine");
            await ctx.kv.get("c", "read");
            const known = [await ctx.kv.peek("c", "own"), await ctx.kv.peek("c", "read")];
            await ctx.kv.delete("c", "hot");
            await ctx.kv.set("out", "1", [hot, known, await ctx.kv.peek("c", "hot")]);
        }"#,
    );
    world.values.put("c", "hot", "1", 4);
    world.values.put("c", "read", "2", 5);
    let effects = world.effects().await;
    assert_eq!(effects.writes.last().unwrap(), &write("out", "1", Some(r#"[[1,null],["mine",2],null]"#)));
    assert_eq!(effects.reads, [read("c", "read", Some(5))], "only the get holds a version");
}

#[tokio::test]
async fn a_list_includes_own_writes_and_records_reads() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            await ctx.kv.set("c", "a2", "new");
            await ctx.kv.delete("c", "a1");
            const list = await ctx.kv.list("c", { prefix: "a" });
            const page = await ctx.kv.list("c", { prefix: "a", limit: 1, after: "a2" });
            await ctx.kv.set("out", "1", [list, page]);
        }"#,
    );
    for (key, version) in [("a1", 1), ("a3", 3), ("b", 4)] {
        world.values.put("c", key, "0", version);
    }
    let effects = world.effects().await;
    let expected = r#"[[{"key":"a2","value":"new"},{"key":"a3","value":0}],[{"key":"a3","value":0}]]"#;
    assert_eq!(effects.writes.last().unwrap(), &write("out", "1", Some(expected)));
    assert_eq!(effects.reads, [read("c", "a1", Some(1)), read("c", "a3", Some(3))]);
}

#[tokio::test]
async fn a_refused_call_throws_an_error_with_a_code() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const codes = [];
            for (const call of [
                () => ctx.kv.get("a/b", "k"),
                () => ctx.kv.set("c", "", 1),
                () => ctx.kv.set("c", "k", undefined),
                () => ctx.kv.set("c", "k", () => 1),
                () => ctx.kv.set("c", "k", "x".repeat(300 * 1024)),
                () => ctx.emit("", {}),
                () => ctx.kv.list("c", { limit: 0 }),
                () => ctx.kv.set("c", "k", "\u0000"),
            ]) {
                try { await call(); codes.push("none"); } catch (e) { codes.push(e instanceof Error && e.code); }
            }
            await ctx.kv.set("out", "1", codes);
        }"#,
    );
    let codes = r#"["invalid_argument","invalid_argument","not_json","not_json","payload_too_large","invalid_argument","invalid_argument","not_json"]"#;
    assert_eq!(world.effects().await.writes, [write("out", "1", Some(codes))]);
}

#[tokio::test]
async fn a_value_is_written_with_set_and_there_is_no_put() {
    let world = World::new("export default (event, ctx) => ctx.kv.put('c', 'k', 1)");
    let failure = world.failure().await;
    assert_eq!(failure.error, ExecError::ScriptError);
    assert!(
        failure.message.starts_with("TypeError: not a function\nat") && failure.message.contains("(s:1:"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn fresh_executions_share_no_globals() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            globalThis.n = (globalThis.n ?? 0) + 1;
            Array.prototype.polluted = (Array.prototype.polluted ?? 0) + 1;
            await ctx.kv.set("c", "k", [globalThis.n, [].polluted]);
        }"#,
    );
    world.change_trigger(1, Isolation::Fresh);
    for _ in 0..3 {
        assert_eq!(world.effects().await.writes, [write("c", "k", Some("[1,1]"))]);
    }
}

#[tokio::test]
async fn a_script_has_no_globals_but_the_language_console_and_crypto() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const suspicious = ["require", "process", "std", "os", "fetch", "setTimeout", "host", "bjson", "Deno"];
            await ctx.kv.set("c", "k", suspicious.filter((name) => name in globalThis));
        }"#,
    );
    assert_eq!(world.effects().await.writes, [write("c", "k", Some("[]"))]);
}

#[tokio::test]
async fn a_newer_version_is_loaded_when_a_delivery_requires_it() {
    let world = World::new("export default (event, ctx) => ctx.kv.set('c', 'k', 1)");
    assert_eq!(world.effects().await.writes, [write("c", "k", Some("1"))]);
    world.change_script(2, "export default (event, ctx) => ctx.kv.set('c', 'k', 2)");
    assert_eq!(world.effects().await.writes, [write("c", "k", Some("1"))], "version 1 is still cached");
    let mut delivery = crate::world::delivery(std::time::Duration::from_secs(5));
    delivery.script_version = Some(2);
    let start_wait = tidegate_ports::StartWait::begin();
    let outcome = tidegate_ports::Executor::execute(&*world.executor, std::sync::Arc::new(delivery), &start_wait).await;
    let Outcome::Succeeded { effects, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(effects.writes, [write("c", "k", Some("2"))]);
}
