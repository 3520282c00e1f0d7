//! The replies of scripts to HTTP clients, through the real program.

use crate::calls::{http, on_both};
use crate::world::{Answer, App, Client, MachineLock, StoreKind, TESTBED, World, client, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

/// A public trigger `name` of the script `name`, for `method`.
fn public(name: &str, method: &str) -> Value {
    let rule = json!({"method": method, "path": format!("/{name}"), "public": true});
    http(name, rule, json!({"script": name}), json!({}))
}

fn send(client: &Client, method: &str, path: &str, body: &str) -> Answer {
    let body = (method == "POST").then_some(body.as_bytes());
    client.send(method, path, &[], body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

#[test]
fn a_caller_without_a_token_never_sees_the_reason_of_a_failure() {
    const SCRIPTS: [(&str, &str); 6] = [
        ("json", "export default (request) => ({ body: request.json() })"),
        ("throws", "export default () => { throw new Error('secret of the handler') }"),
        ("defect", "export default () => secret_name"),
        ("header", "export default () => ({ headers: { 'x-secret': 'a\\nb' } })"),
        ("reply", "export default () => ({ secret: 1 })"),
        ("bomb", "export default () => { const a = []; for (;;) a.push(new Array(1000).fill(1)) }"),
    ];
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("hidden", TESTBED, &[]);
    let app = App::new(client(&daemon), "hidden");
    let routes: Vec<Value> = SCRIPTS.iter().map(|(name, _)| public(name, "POST")).collect();
    let member = http("member", json!({"method": "POST", "path": "/member"}), json!({"script": "throws"}), json!({}));
    app.deploy(&SCRIPTS, &[routes, vec![member]].concat());

    let stranger = app.client.anonymous();
    for (name, status, code, logged) in [
        ("json", 400, "invalid_json", "the body of the request is not JSON"),
        ("throws", 500, "script_error", "Error: secret of the handler"),
        ("defect", 500, "script_defect", "ReferenceError: secret_name is not defined"),
        ("header", 502, "invalid_reply", "the value of the header x-secret has a character"),
        ("reply", 502, "invalid_reply", "unknown field"),
        ("bomb", 500, "resource_limit", "scripts.memory_bytes_max"),
    ] {
        let answer = send(&stranger, "POST", &format!("/http/hidden/{name}"), "{");
        assert_eq!((answer.status, answer.header("tidegate-code")), (status, Some(code)), "{answer:?}");
        for hidden in ["secret", "Error:", "at default", "(json", "scripts.", "unknown field", ":1:"] {
            assert!(!answer.text.contains(hidden), "{hidden}: {answer:?}");
        }
        wait_for("the reason in the log", Duration::from_secs(10), || daemon.log().contains(logged).then_some(()));
    }
    assert!(daemon.log().contains("at default (throws:1:"), "the log has the stack");
    let answer = send(&app.client, "POST", "/http/hidden/member", "{");
    assert!(answer.text.contains("secret of the handler"), "a member of the app sees the reason: {answer:?}");
}

#[test]
fn bytes_and_several_values_of_a_header_reach_the_client() {
    const BYTES: &str = "export default () => ({
        headers: { 'set-cookie': ['a=1', 'b=2'] }, body: new Uint8Array([0xc3, 0xbc])
    })";
    on_both(|world| {
        let daemon = world.daemon("bytes", TESTBED, &[]);
        let app = App::new(client(&daemon), "bytes");
        app.deploy(&[("bytes", BYTES)], &[public("bytes", "GET")]);
        let answer = app.client.anonymous().get("/http/bytes/bytes");
        let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!(cookies.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!((answer.header("content-type"), answer.text.as_str()), (Some("application/octet-stream"), "ü"));
    });
}

#[test]
fn head_is_answered_by_a_get_trigger_without_a_body() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("head", TESTBED, &[]);
    let app = App::new(client(&daemon), "head");
    let scripts = [
        ("get", "export default (request) => ({ headers: { 'x-method': request.method }, body: 'hello' })"),
        ("own", "export default () => ({ status: 204, headers: { 'x-own': '1' } })"),
        ("post", "export default () => ({})"),
    ];
    let own =
        http("own", json!({"method": "HEAD", "path": "/own", "public": true}), json!({"script": "own"}), json!({}));
    let both =
        http("both", json!({"method": "GET", "path": "/own", "public": true}), json!({"script": "get"}), json!({}));
    app.deploy(&scripts, &[public("get", "GET"), public("post", "POST"), own, both]);
    let head = |path: &str| send(&app.client, "HEAD", &format!("/http/head/{path}"), "");

    let answer = head("get");
    assert_eq!((answer.status, answer.header("x-method"), answer.text.as_str()), (200, Some("HEAD"), ""));
    assert_eq!(answer.header("content-length"), Some("5"), "as for GET");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(head("own").header("x-own"), Some("1"), "a trigger for HEAD comes first");
    assert_eq!((head("post").status, head("post").header("allow").map(str::to_owned)), (405, Some("POST".to_owned())));
    let refused = send(&app.client, "POST", "/http/head/get", "");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    wait_for("the rows of the answered calls to be deleted", Duration::from_secs(10), || {
        app.is_drained().then_some(())
    });
}

#[test]
fn a_returned_reply_commits_whatever_its_status_and_a_thrown_error_commits_nothing() {
    const SOURCE: &str = "export default async (request, ctx) => {
        const { key, status } = request.json();
        await ctx.kv.set('c', key, status);
        if (!status) throw new Error('nothing is applied');
        return { status };
    }";
    on_both(|world| {
        let daemon = world.daemon("commits", TESTBED, &[]);
        let app = App::new(client(&daemon), "commits");
        app.deploy(&[("s", SOURCE)], &[public("s", "POST")]);
        for (key, status) in [("a", 200), ("b", 202), ("c", 404), ("d", 409), ("e", 500), ("f", 0)] {
            let body = json!({"key": key, "status": status}).to_string();
            let answer = send(&app.client, "POST", "/http/commits/s", &body);
            assert_eq!(answer.status, if status == 0 { 500 } else { status }, "{answer:?}");
        }
        let keys: Vec<String> = app.entries("c").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e"]);
    });
}
