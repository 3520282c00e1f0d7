//! A bad request is answered with its status and its code, and changes nothing.

use crate::world::{App, Client, MachineLock, StoreKind, TIDEGATE, World, client, on, tidegate};
use serde_json::{Value, json};

/// A request that must be refused.
struct BadRequest {
    description: &'static str,
    method: &'static str,
    path: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    /// A part of the expected detail.
    detail_part: &'static str,
}

fn bad(
    description: &'static str,
    request: (&'static str, &'static str, String),
    expected: (u16, &'static str, &'static str),
) -> BadRequest {
    let (method, path, body) = request;
    let (status, code, detail_part) = expected;
    BadRequest { description, method, path, body, status, code, detail_part }
}

fn bad_requests() -> Vec<BadRequest> {
    [bad_bodies(), bad_specifications(), bad_paths()].into_iter().flatten().collect()
}

fn bad_bodies() -> Vec<BadRequest> {
    let too_long = Value::from("x".repeat(300 << 10)).to_string();
    vec![
        bad("broken JSON", ("PUT", "/v1/apps/bad/kv/c/k", "{\"a\":".into()), (400, "invalid_json", "")),
        bad("an empty body", ("PUT", "/v1/apps/bad/kv/c/k", String::new()), (400, "invalid_json", "")),
        bad("broken events", ("POST", "/v1/apps/bad/events", "[{]".into()), (400, "invalid_json", "")),
        bad("a value over the limit", ("PUT", "/v1/apps/bad/kv/c/k", too_long.clone()), (413, "payload_too_large", "")),
        bad(
            "a body over the limit",
            ("PUT", "/v1/apps/bad/kv/c/k", too_long.repeat(8)),
            (413, "payload_too_large", ""),
        ),
        bad(
            "an event without a type",
            ("POST", "/v1/apps/bad/events", "{\"specversion\":\"1.0\"}".into()),
            invalid("type"),
        ),
    ]
}

fn bad_specifications() -> Vec<BadRequest> {
    let trigger = |field: &str, value: Value| {
        let mut spec = on("t", "unused", json!({"script": "fine"}), json!({}));
        spec.as_object_mut().expect("a specification is an object").remove("name");
        spec[field] = value;
        ("PUT", "/v1/apps/bad/triggers/new", spec.to_string())
    };
    let deployment = |source: &str| json!({"scripts": [{"name": "s", "source": source}], "triggers": []}).to_string();
    vec![
        bad("an empty pattern", trigger("match", json!({"source": "app", "type": ""})), invalid("")),
        bad("an unknown field", trigger("retries", json!(3)), invalid("retries")),
        bad("zero attempts", trigger("retry", json!({"max_attempts": 0})), invalid("max_attempts")),
        bad("too many attempts", trigger("retry", json!({"max_attempts": 101})), invalid("max_attempts")),
        bad("too much jitter", trigger("retry", json!({"jitter": 1.5})), invalid("jitter")),
        bad("max_ms below base_ms", trigger("retry", json!({"base_ms": 5, "max_ms": 4})), invalid("max_ms")),
        bad("a timeout of zero", trigger("timeout_ms", json!(0)), invalid("timeout_ms")),
        bad("a concurrency of zero", trigger("max_concurrency", json!(0)), invalid("max_concurrency")),
        bad(
            "a script that does not compile",
            ("PUT", "/v1/apps/bad/scripts/new", "export default async function (event {\n".into()),
            (422, "script_invalid", "new:1:"),
        ),
        bad(
            "a deployment with a script that does not compile",
            ("PUT", "/v1/apps/bad", deployment("let x = ;")),
            (422, "script_invalid", "s:1:"),
        ),
        bad("a deployment with an unknown field", ("PUT", "/v1/apps/bad", "{\"script\":[]}".into()), invalid("script")),
    ]
}

fn bad_paths() -> Vec<BadRequest> {
    vec![
        bad("an unknown app", ("PUT", "/v1/apps/absent/kv/c/k", "1".into()), (404, "unknown_app", "absent")),
        bad("events of an unknown app", ("POST", "/v1/apps/absent/events", event()), (404, "unknown_app", "absent")),
        bad(
            "triggers of an unknown app",
            ("GET", "/v1/apps/absent/triggers", "".into()),
            (404, "unknown_app", "absent"),
        ),
        bad("a bad app name", ("PUT", "/v1/apps/No.App", "{}".into()), invalid("No.App")),
        bad("a bad collection name", ("PUT", "/v1/apps/bad/kv/.c/k", "1".into()), invalid("collection")),
        bad("an unknown key", ("GET", "/v1/apps/bad/kv/c/none", "".into()), (404, "key_not_found", "")),
        bad("an unknown trigger", ("GET", "/v1/apps/bad/triggers/none", "".into()), (404, "trigger_not_found", "")),
        bad(
            "an unknown trigger to pause",
            ("POST", "/v1/apps/bad/triggers/none/pause", "".into()),
            (404, "trigger_not_found", ""),
        ),
        bad("an unknown script", ("DELETE", "/v1/apps/bad/scripts/none", "".into()), (404, "script_not_found", "")),
        bad(
            "an unknown delivery",
            ("GET", "/v1/apps/bad/deliveries/999999", "".into()),
            (404, "delivery_not_found", ""),
        ),
        bad(
            "an unknown letter",
            ("GET", "/v1/apps/bad/dead-letters/999999", "".into()),
            (404, "dead_letter_not_found", ""),
        ),
        bad(
            "unknown letters to redrive",
            ("POST", "/v1/apps/bad/dead-letters/redrive", json!({"ids": [999_999, 888_888]}).to_string()),
            (404, "dead_letter_not_found", "888888, 999999"),
        ),
        bad(
            "an unknown letter to discard in a dry run",
            ("POST", "/v1/apps/bad/dead-letters/discard", json!({"ids": [999_999], "dry_run": true}).to_string()),
            (404, "dead_letter_not_found", "999999"),
        ),
        bad("a name with a NUL", ("DELETE", "/v1/tokens/%00", "".into()), invalid("NUL")),
        bad("a limit that is not a number", ("GET", "/v1/apps/bad/deliveries?limit=many", "".into()), invalid("limit")),
        bad("an unknown state", ("GET", "/v1/apps/bad/deliveries?state=gone", "".into()), invalid("state")),
        bad("a prefix with a control character", ("GET", "/v1/apps/bad/kv/c?prefix=%00", "".into()), invalid("prefix")),
        bad(
            "a fingerprint with a control character",
            ("GET", "/v1/apps/bad/dead-letters?fingerprint=%00", "".into()),
            invalid("fingerprint"),
        ),
        bad("an unknown path", ("GET", "/v1/nothing", "".into()), (404, "not_found", "")),
        bad("a wrong method", ("PATCH", "/v1/apps/bad/kv/c/k", "1".into()), (405, "method_not_allowed", "")),
    ]
}

const fn invalid(detail_part: &'static str) -> (u16, &'static str, &'static str) {
    (400, "invalid_request", detail_part)
}

fn event() -> String {
    json!({"specversion": "1.0", "type": "t"}).to_string()
}

#[test]
fn a_bad_request_is_refused_and_changes_nothing() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let _lock = MachineLock::shared();
        let world = World::new(kind);
        let daemon = world.daemon("strict", TIDEGATE, &[("TIDEGATE_HTTP_BODY_BYTES_MAX", "1048576")]);
        let app = App::new(client(&daemon), "bad");
        let fine = "export default async function () {}";
        app.deploy(&[("fine", fine)], &[on("t", "fine", json!({"script": "fine"}), json!({}))]);
        app.switch("fine", "pause");
        app.client.put(&app.path("/kv/c/kept"), &json!({"n": 1})).ok();
        let before = state(&app);
        let wrong: Vec<String> = bad_requests().iter().filter_map(|bad| wrong_answer(&app.client, bad)).collect();
        assert!(wrong.is_empty(), "{kind:?}:\n{}", wrong.join("\n"));
        assert_eq!(state(&app), before, "{kind:?}");
    }
}

#[test]
fn a_request_with_a_wrong_token_is_refused_and_changes_nothing() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("locked", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "locked");
    app.deploy(&[], &[]);
    let before = state(&app);
    for token in ["", "wrong", "tg_acceptance_0123456789abcdef0123456789abcdeF"] {
        let client = app.client.with_token(token);
        for (method, path) in [("GET", "/v1/apps"), ("PUT", "/v1/apps/locked/kv/c/k"), ("PUT", "/v1/apps/mine")] {
            let body = (method == "PUT").then_some(&b"{}"[..]);
            let answer =
                client.send(method, path, &[("content-type", "application/json")], body).expect("the daemon answers");
            assert_eq!(answer.status, 401, "{token:?} {method} {path}: {answer:?}");
            assert_eq!(answer.json()["code"], "unauthorized");
            assert_eq!(answer.header("www-authenticate").and_then(|value| value.get(..6)), Some("Bearer"));
        }
    }
    assert_eq!(state(&app), before);
    assert_eq!(app.client.get("/healthz").status, 200);
}

#[test]
fn a_misspelt_manifest_is_refused_with_the_nearest_known_key() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("strict", TIDEGATE, &[]);
    let directory = world.folder().join("app");
    std::fs::create_dir(&directory).expect("the temporary folder can be written to");
    std::fs::write(directory.join("receipt.js"), "export default async function () {}\n")
        .expect("the temporary folder can be written to");
    let manifest = "[app]\nname = \"shop\"\n\n[[trigger]]\nname = \"receipt\"\nsource = \"kv\"\ncolection = \"orders\"\nscript = \"receipt.js\"\n";
    std::fs::write(directory.join("tidegate.toml"), manifest).expect("the temporary folder can be written to");

    let directory = directory.to_str().expect("a temporary path is UTF-8");
    let output = tidegate(&daemon, &["deploy", directory]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    for word in ["line 7", "colection", "collection"] {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
    assert_eq!(client(&daemon).get("/v1/apps").ok()["apps"], json!([]), "nothing was deployed");
}

/// Describes a wrong answer to a bad request. `None` if the answer is right.
fn wrong_answer(client: &Client, bad: &BadRequest) -> Option<String> {
    let body = (!bad.body.is_empty() || bad.method == "PUT").then_some(bad.body.as_bytes());
    let answer = match client.send(bad.method, bad.path, &[("content-type", "application/json")], body) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{}: no answer: {error}", bad.description)),
    };
    let is_problem = answer.header("content-type").is_some_and(|value| value.starts_with("application/problem+json"));
    let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let is_right = answer.status == bad.status
        && is_problem
        && document["code"] == bad.code
        && document["status"] == bad.status
        && answer.header("tidegate-code") == Some(bad.code)
        && document.to_string().contains(bad.detail_part);
    (!is_right).then(|| format!("{} ({} {}): {answer:?}", bad.description, bad.method, bad.path))
}

/// All state that a request could change.
fn state(app: &App) -> Vec<Value> {
    let paths = ["/v1/apps".to_owned(), app.path("/triggers"), app.path("/scripts"), app.path("/kv/c")];
    let more = [app.path("/deliveries"), app.path("/dead-letters")];
    paths.iter().chain(&more).map(|path| app.client.get(path).ok()).collect()
}
