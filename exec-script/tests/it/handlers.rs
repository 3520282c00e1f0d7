//! Default exports that look like handlers and would never run, and return values that are awaited.

use crate::world::{World, delivery};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::{Limits, check};

#[tokio::test]
async fn a_default_export_whose_body_a_call_would_not_run_is_refused_before_it_runs() {
    for (source, words) in [
        ("export default function* (event, ctx) { yield 1 }", "generator"),
        ("export default async function* (event, ctx) { yield 1 }", "generator"),
        ("export default ({ *run() {} }).run", "generator"),
        ("export default ({ async *run() {} }).run", "generator"),
        ("async function* run() {} export { run as default }", "generator"),
        ("export default class { constructor(event, ctx) {} }", "class"),
        ("export default class Order extends Map {}", "class"),
        ("class A{} export { A as default }", "class"),
        ("export default Promise", "class"),
        ("export default { handle() {} }", "no default export"),
    ] {
        let refused = check("s", source, Limits::default()).expect_err(source);
        assert!(refused.message.contains(words), "{source}: {refused}");
        let failure = World::new(source).failure().await;
        assert_eq!(failure.error, ExecError::ScriptUnavailable, "{source}: {}", failure.message);
        assert!(failure.message.contains(words), "{source}: {}", failure.message);
    }
    for source in [
        "export default function Order(event) {}",
        "const classes = classify => 1; export default classes; function classify() {}",
        "export default (function () {}).bind(null)",
        "export default new Proxy(() => {}, {})",
        "export default Object.assign(async () => {}, { timeout: 1 })",
    ] {
        assert_eq!(check("s", source, Limits::default()), Ok(()), "{source}");
        assert!(matches!(World::new(source).run().await, Outcome::Succeeded { .. }), "{source}");
    }
}

#[tokio::test]
async fn a_return_value_that_holds_a_body_which_never_ran_fails_the_run() {
    for returned in [
        "(function* () { yield 1 })()",
        "(async function* () { yield 1 })()",
        "[1, 2].values().map((n) => ctx.kv.set('c', 'k' + n, n))",
        "async () => { await ctx.kv.set('c', 'k', 1) }",
        "Promise.resolve((function* () {})())",
        "function (event) {}",
    ] {
        for source in [
            format!("export default (event, ctx) => {{ return {returned} }}"),
            format!("export default async (event, ctx) => {{ return {returned} }}"),
        ] {
            let failure = World::new(&source).failure().await;
            assert_eq!(failure.error, ExecError::ScriptError, "{source}: {}", failure.message);
            assert!(failure.message.contains("never"), "{source}: {}", failure.message);
        }
    }
}

#[tokio::test]
async fn a_returned_thenable_is_awaited() {
    let thenable = "{ then(resolve) { (async () => { await ctx.kv.set('c', 'k', 1); resolve(7) })() } }";
    for handler in [format!("(event, ctx) => ({thenable})"), format!("async (event, ctx) => ({thenable})")] {
        let world = World::new(&format!("export default {handler}"));
        assert_eq!(world.number(delivery(Duration::from_secs(20))).await, 7, "{handler}");
        assert_eq!(world.effects().await.writes.len(), 1, "{handler}");
    }
    for (thenable, words) in [
        ("{ then(_, reject) { reject(new Error('refused')) } }", "Error: refused"),
        ("{ then() { throw new Error('thrown') } }", "Error: thrown"),
        ("{ get then() { throw new Error('getter') } }", "Error: getter"),
        ("{ then() {} }", "can never settle"),
    ] {
        let failure = World::new(&format!("export default () => ({thenable})")).failure().await;
        assert!(failure.message.contains(words), "{thenable}: {}", failure.message);
    }
}
