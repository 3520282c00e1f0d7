//! The lines of `console`.

use crate::world::World;
use std::io::Write;
use std::sync::{LazyLock, Mutex};
use tidegate_core::Outcome;

/// Everything that the tests of this process log. The threads of scripts have no subscriber of
/// their own, so the subscriber is global.
static LOGGED: LazyLock<&'static Mutex<Vec<u8>>> = LazyLock::new(|| {
    static BYTES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Writer;
    impl Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            BYTES.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Writer).init();
    &BYTES
});

/// The text that `console.log` prints for these arguments.
async fn printed(arguments: &str) -> String {
    let logged = &*LOGGED;
    let mark = uuid::Uuid::new_v4();
    let source = format!("export default () => {{ console.log('<{mark}', {arguments}, '{mark}>') }}");
    let outcome = World::new(&source).run().await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }), "{arguments}: {outcome:?}");
    let text = String::from_utf8(logged.lock().unwrap().clone()).expect("the log is UTF-8");
    let (_, from) = text.split_once(&format!("<{mark} ")).unwrap_or_else(|| panic!("{arguments}: no line"));
    from.split_once(&format!(" {mark}>")).unwrap().0.to_owned()
}

#[tokio::test]
async fn console_prints_every_value() {
    for (arguments, expected) in [
        ("'text', 1, -0.5, true, null, undefined", "text 1 -0.5 true null undefined"),
        ("NaN, Infinity, 12n, Symbol('s')", "NaN Infinity 12n Symbol(s)"),
        ("{ a: 1, b: ['x', null] }", r#"{"a":1,"b":["x",null]}"#),
        ("{ n: NaN, big: 1n, u: undefined, s: Symbol('s') }", r#"{"n":NaN,"big":1n,"u":undefined,"s":Symbol(s)}"#),
        ("[undefined, () => 1, function named() {}]", "[undefined,[Function],[Function: named]]"),
        ("Object.create(null)", "{}"),
        ("Object.assign(Object.create(null), { a: 1 })", r#"{"a":1}"#),
        ("new Date(0), { at: new Date(0) }", r#"1970-01-01T00:00:00.000Z {"at":1970-01-01T00:00:00.000Z}"#),
        ("new Date(NaN)", "Invalid Date"),
        ("new Map([['k', { v: 1 }]]), new Set([1, 'a'])", r#"Map{"k" => {"v":1}} Set{1,"a"}"#),
        ("new Uint8Array([1, 2])", "[1,2]"),
        ("{ toJSON: () => ({ short: 1 }) }", r#"{"short":1}"#),
        ("/a+/g, { r: /b/ }", r#"/a+/g {"r":/b/}"#),
        (r#""half \ud800""#, "half \u{fffd}"),
        (r#"{ half: "\udc00" }"#, "{\"half\":\"\u{fffd}\"}"),
    ] {
        assert_eq!(printed(arguments).await, expected, "{arguments}");
    }
}

#[tokio::test]
async fn console_never_throws() {
    for (arguments, expected) in [
        ("(() => { const a = { n: 1 }; a.self = a; return a })()", r#"{"n":1,"self":[Circular]}"#),
        ("(() => { const a = Object.create(null); a.self = a; return a })()", r#"{"self":[Circular]}"#),
        ("(() => { const a = [1]; a.push(a); return a })()", "[1,[Circular]]"),
        ("(() => { const same = {}; return [same, same] })()", "[{},{}]"),
        ("{ get broken() { throw new Error('no') }, fine: 1 }", r#"{"broken":[cannot be shown],"fine":1}"#),
        ("new Proxy({}, { ownKeys() { throw 1 } })", "[cannot be shown]"),
        ("new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 2 } })", "[cannot be shown]"),
        ("new Proxy(() => {}, { get() { throw null } })", "[cannot be shown]"),
        (
            "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy })()",
            "[cannot be shown]",
        ),
        ("{ toJSON() { throw new Error('no') } }", "[cannot be shown]"),
        ("{ toString() { throw 1 }, [Symbol.toPrimitive]() { throw 2 } }", r#"{"toString":[Function: toString]}"#),
        ("Object.assign(new Error('e'), { toString() { throw 1 }, stack: '' })", "Error: e"),
        ("(() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a })() && 'deep'", "deep"),
    ] {
        assert_eq!(printed(arguments).await, expected, "{arguments}");
    }
    let deep = "(() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a })()";
    assert!(printed(deep).await.contains("[cannot be shown]"), "a nesting that is too deep");
    let patched = "(() => { delete Array.prototype.map; delete Array.prototype.join; Array.prototype.push = 1; return { a: [1] } })()";
    assert_eq!(printed(patched).await, r#"{"a":[1]}"#);
}

#[tokio::test]
async fn an_error_is_printed_with_its_stack_and_its_cause() {
    let text = printed("new TypeError('no order', { cause: new Error('why') })").await;
    assert!(text.starts_with("TypeError: no order\n"), "{text}");
    assert!(text.contains("(s:1:") && text.contains("cause: Error: why\n"), "{text}");
}
