//! The checks on the arguments of `ctx`.

use crate::world::World;
use tidegate_core::*;

/// The code, the class and the message of the error that `call` throws.
async fn error_of(call: &str) -> (String, bool, String) {
    let source = format!(
        "export default async (event, ctx) => {{
            let caught = ['none', false, 'no error'];
            try {{ await {call} }} catch (e) {{ caught = [String(e.code), e instanceof TypeError, e.message] }}
            await ctx.kv.set('out', '1', caught);
        }}"
    );
    let effects = World::new(&source).effects().await;
    assert_eq!(effects.writes.len(), usize::from(effects.writes.len() > 1) + 1, "{call}: {effects:?}");
    let value = effects.writes.last().unwrap().value.as_ref().unwrap();
    serde_json::from_str(value.as_str()).unwrap()
}

#[tokio::test]
async fn a_wrong_argument_is_named_with_its_function_and_the_expected_value() {
    for (call, words) in [
        ("ctx.emit('t', {}, 'my-subject')", ["ctx.emit", "options", "an object", "\"my-subject\""]),
        ("ctx.emit('t', {}, null)", ["ctx.emit", "options", "an object", "null"]),
        ("ctx.emit('t', {}, ['s'])", ["ctx.emit", "options", "an object", "an array"]),
        ("ctx.emit('t', {}, () => {})", ["ctx.emit", "options", "an object", "a function"]),
        ("ctx.emit('t', {}, { subjct: 's' })", ["ctx.emit", "subjct", "did you mean", "subject"]),
        ("ctx.emit('t', {}, { Subject: 's' })", ["ctx.emit", "Subject", "did you mean", "subject"]),
        ("ctx.emit('t', {}, { delay: 5 })", ["ctx.emit", "delay", "option", "subject"]),
        ("ctx.emit('t', {}, { subject: 7 })", ["ctx.emit", "subject", "a string", "7"]),
        ("ctx.emit('t', {}, { subject: null })", ["ctx.emit", "subject", "a string", "null"]),
        ("ctx.emit('t', {}, {}, 1)", ["ctx.emit", "at most 3", "4", "type, data, options"]),
        ("ctx.emit()", ["ctx.emit", "type", "missing", "a string"]),
        ("ctx.emit({ type: 't' })", ["ctx.emit", "type", "a string", "an object"]),
        ("ctx.emit('')", ["ctx.emit", "type", "1–255 bytes", "\"\""]),
        ("ctx.emit('t', {}, { subject: 'a\\nb' })", ["ctx.emit", "subject", "768 bytes", "control"]),
        ("ctx.kv.get()", ["ctx.kv.get", "collection", "missing", "a string"]),
        ("ctx.kv.get('c')", ["ctx.kv.get", "key", "missing", "a string"]),
        ("ctx.kv.get('c', undefined)", ["ctx.kv.get", "key", "a string", "undefined"]),
        ("ctx.kv.get('c', 7)", ["ctx.kv.get", "key", "a string", "7"]),
        ("ctx.kv.get('c', 7n)", ["ctx.kv.get", "key", "a string", "7n"]),
        ("ctx.kv.get('c', Symbol('k'))", ["ctx.kv.get", "key", "a string", "Symbol(k)"]),
        ("ctx.kv.get('c', 'k', {})", ["ctx.kv.get", "at most 2", "3", "collection, key"]),
        ("ctx.kv.get('a/b', 'k')", ["ctx.kv.get", "collection", "letters", "\"a/b\""]),
        ("ctx.kv.get('c', '')", ["ctx.kv.get", "key", "512 bytes", "\"\""]),
        ("ctx.kv.peek('c')", ["ctx.kv.peek", "key", "missing", "a string"]),
        ("ctx.kv.set('c', 'k')", ["ctx.kv.set", "value", "missing", "JSON"]),
        ("ctx.kv.set('c', null, 1)", ["ctx.kv.set", "key", "a string", "null"]),
        ("ctx.kv.set('c', 'k', 1, { ttl: 5 })", ["ctx.kv.set", "at most 3", "4", "collection, key, value"]),
        ("ctx.kv.delete('c')", ["ctx.kv.delete", "key", "missing", "a string"]),
        ("ctx.kv.delete('c', 'k', 1)", ["ctx.kv.delete", "at most 2", "3", "collection, key"]),
        ("ctx.kv.list()", ["ctx.kv.list", "collection", "missing", "a string"]),
        ("ctx.kv.list('c', 'prefix')", ["ctx.kv.list", "options", "an object", "\"prefix\""]),
        ("ctx.kv.list('c', { perfix: 'a' })", ["ctx.kv.list", "perfix", "did you mean", "prefix"]),
        ("ctx.kv.list('c', { Limit: 5 })", ["ctx.kv.list", "Limit", "did you mean", "limit"]),
        ("ctx.kv.list('c', { reverse: true })", ["ctx.kv.list", "reverse", "prefix", "limit"]),
        ("ctx.kv.list('c', { limit: 0 })", ["ctx.kv.list", "limit", "from 1 to 1000", "0"]),
        ("ctx.kv.list('c', { limit: 1001 })", ["ctx.kv.list", "limit", "from 1 to 1000", "1001"]),
        ("ctx.kv.list('c', { limit: 1.5 })", ["ctx.kv.list", "limit", "from 1 to 1000", "1.5"]),
        ("ctx.kv.list('c', { limit: '5' })", ["ctx.kv.list", "limit", "from 1 to 1000", "\"5\""]),
        ("ctx.kv.list('c', { limit: NaN })", ["ctx.kv.list", "limit", "from 1 to 1000", "NaN"]),
        ("ctx.kv.list('c', { prefix: /a/ })", ["ctx.kv.list", "prefix", "a string", "an object"]),
        ("ctx.kv.list('c', { after: 3 })", ["ctx.kv.list", "after", "a string", "3"]),
        ("ctx.kv.list('c', { after: '' })", ["ctx.kv.list", "after", "key", "512 bytes"]),
        ("ctx.kv.list('c', {}, 1)", ["ctx.kv.list", "at most 2", "3", "collection, options"]),
        ("ctx.sleep()", ["ctx.sleep", "ms", "missing", "milliseconds"]),
        ("ctx.sleep('5')", ["ctx.sleep", "ms", "milliseconds", "\"5\""]),
        ("ctx.sleep(-1)", ["ctx.sleep", "ms", "milliseconds", "-1"]),
        ("ctx.sleep(NaN)", ["ctx.sleep", "ms", "milliseconds", "NaN"]),
        ("ctx.sleep(Infinity)", ["ctx.sleep", "ms", "milliseconds", "Infinity"]),
        ("ctx.sleep(1, 2)", ["ctx.sleep", "at most 1", "2", "ms"]),
        ("(async () => ctx.signal.throwIfAborted('why'))()", ["ctx.signal.throwIfAborted", "no argument", "1", ""]),
    ] {
        let (code, is_type_error, message) = error_of(call).await;
        assert_eq!((code.as_str(), is_type_error), ("invalid_argument", true), "{call}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{call}: {message}");
    }
}

#[tokio::test]
async fn options_that_are_undefined_or_absent_have_their_defaults() {
    let source = "export default async (event, ctx) => {
        await ctx.emit('a');
        await ctx.emit('b', undefined, undefined);
        await ctx.emit('c', 1, {});
        await ctx.emit('d', 1, { subject: undefined });
        const pages = [
            await ctx.kv.list('c'), await ctx.kv.list('c', undefined), await ctx.kv.list('c', { after: null }),
            await ctx.kv.list('c', { prefix: undefined, limit: undefined, after: undefined }),
        ];
        await ctx.sleep(0);
        await ctx.kv.set('out', '1', pages);
    }";
    let effects = World::new(source).effects().await;
    let events: Vec<_> = effects.events.iter().map(|event| (event.data.as_str(), event.subject.as_str())).collect();
    assert_eq!(events, [("null", ""), ("null", ""), ("1", ""), ("1", "")]);
    assert_eq!(effects.writes[0].value, Some(Json::parse("[[],[],[],[]]").unwrap()));
}

#[tokio::test]
async fn a_refused_argument_fails_the_run_with_the_line_of_the_script() {
    let failure =
        World::new("export default async (e, ctx) => {\n await ctx.emit('t', {}, { subjct: 1 }) }").failure().await;
    assert_eq!(failure.error, ExecError::ScriptError);
    assert!(failure.message.starts_with("TypeError: ctx.emit"), "{}", failure.message);
    assert!(failure.message.contains("(s:2:"), "{}", failure.message);
    assert!(!failure.message.contains("prelude"), "{}", failure.message);
}
