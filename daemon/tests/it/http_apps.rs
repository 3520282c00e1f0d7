//! Deployments, scripts and triggers. Each request is checked completely before anything is stored.

use crate::http_api::{Api, FINE, NOW_TEXT};
use serde_json::{Value, json};

const SHOP: &str = "/v1/apps/shop";

fn on(handler: Value) -> Value {
    json!({"match": {"source": "app", "type": "t"}, "handler": handler})
}

fn named(name: &str, mut spec: Value) -> Value {
    spec["name"] = json!(name);
    spec
}

#[test]
fn a_deployment_replaces_the_scripts_and_triggers_of_an_app() {
    let api = Api::empty();
    assert_eq!(api.get("/v1/apps").expect_status(200), json!({"apps": []}));
    let deployment = json!({
        "scripts": [{"name": "a", "source": FINE}, {"name": "b", "source": FINE}],
        "triggers": [named("t", on(json!({"script": "a"})))],
    });
    let changes = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(name, change)| json!({"name": name, "change": change})).collect()
    };
    let report = api.put(SHOP, deployment.clone()).expect_status(200);
    assert_eq!(report["scripts"], changes(&[("a", "created"), ("b", "created")]));
    assert_eq!(report["triggers"], changes(&[("t", "created")]));
    assert_eq!(api.get("/v1/apps").expect_status(200), json!({"apps": [{"name": "shop", "created_at": NOW_TEXT}]}));
    assert_eq!(api.put(SHOP, deployment).expect_status(200)["triggers"], changes(&[("t", "unchanged")]));
    let report =
        api.put(SHOP, json!({"scripts": [{"name": "a", "source": "export default () => {}"}]})).expect_status(200);
    assert_eq!(report["scripts"], changes(&[("a", "updated"), ("b", "deleted")]));
    assert_eq!(report["triggers"], changes(&[("t", "deleted")]));
}

#[test]
fn an_invalid_deployment_changes_nothing() {
    let api = Api::new();
    api.put("/v1/apps/shop/triggers/kept", on(json!({"script": "fine"}))).expect_status(200);
    let before = api.state();
    let good = json!({"name": "s", "source": FINE});
    for (deployment, status, code, detail_part) in [
        (
            json!({"scripts": [good, {"name": "bad", "source": "let x = ;"}]}),
            422,
            "script_invalid",
            "script bad, line 1",
        ),
        (json!({"scripts": [{"name": "bad", "source": "let x = 1"}]}), 422, "script_invalid", "bad"),
        (json!({"scripts": [good, good]}), 400, "invalid_request", "twice"),
        (json!({"triggers": [named("t", on(json!({"script": "fine"})))]}), 400, "invalid_request", "no script fine"),
        (json!({"script": []}), 400, "invalid_request", "script"),
        (json!({"scripts": [{"name": ".s", "source": FINE}]}), 400, "invalid_request", ".s"),
        (json!([]), 400, "invalid_request", "object"),
    ] {
        let detail = api.put(SHOP, deployment).expect_problem(status, code);
        assert!(detail.contains(detail_part), "{detail}");
        assert_eq!(api.state(), before, "{detail}");
    }
}

#[test]
fn all_errors_of_a_deployment_are_listed() {
    let api = Api::new();
    let reserved = named("invoke", on(json!({"native": "noop"})));
    let webhook = named("w", on(json!({"webhook": "https://example.org"})));
    let answer = api.put(SHOP, json!({"triggers": [reserved, webhook, named("n", on(json!({"native": "none"})))]}));
    let errors = answer.json()["errors"].clone();
    let detail = answer.expect_problem(400, "invalid_request");
    assert!(
        detail.contains("the name invoke is reserved for invocations") && detail.contains("nothing was changed"),
        "{detail}"
    );
    let at: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["at"].as_str().unwrap()).collect();
    assert_eq!(at, ["trigger invoke", "trigger w", "trigger n"]);
    let answer = api.put(SHOP, json!({"scripts": [{"name": "a", "source": "("}, {"name": "b", "source": "\n)"}]}));
    let errors = answer.json()["errors"].clone();
    answer.expect_problem(422, "script_invalid");
    assert_eq!((&errors[0]["at"], &errors[1]["at"]), (&json!("script a, line 1"), &json!("script b, line 2")));
}

#[test]
fn a_script_is_stored_if_it_compiles() {
    let api = Api::new();
    let path = "/v1/apps/shop/scripts/new";
    let stored = api.send("PUT", path, &[("content-type", "text/plain")], FINE);
    let etag = stored.header("etag").unwrap().to_owned();
    let stored = stored.expect_status(200);
    assert_eq!((&stored["name"], &stored["updated_at"]), (&json!("new"), &json!(NOW_TEXT)));
    assert_eq!(etag, format!("\"{}\"", stored["version"]));
    let got = api.get(path);
    assert_eq!((got.status, got.text.as_str(), got.header("etag")), (200, FINE, Some(etag.as_str())));
    assert!(got.header("content-type").unwrap().starts_with("text/javascript"));
    let list = api.get("/v1/apps/shop/scripts").expect_status(200);
    assert_eq!(list["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(list["scripts"][1], stored, "the list has no sources");

    let detail = api.send("PUT", path, &[], "\nlet x = ;").expect_problem(422, "script_invalid");
    assert!(detail.contains("line 2"), "{detail}");
    assert_eq!(api.get(path).text, FINE, "the stored script is kept");
    api.delete(path).expect_status(204);
    api.delete(path).expect_problem(404, "script_not_found");
    api.get(path).expect_problem(404, "script_not_found");
}

#[test]
fn a_trigger_can_be_put_paused_resumed_and_deleted() {
    let api = Api::new();
    let path = "/v1/apps/shop/triggers/t";
    let put = api.put(path, on(json!({"script": "fine"})));
    assert_eq!(put.header("etag"), Some("\"1\""));
    let made = put.expect_status(200);
    assert_eq!((&made["name"], &made["app"], &made["paused"]), (&json!("t"), &json!("shop"), &json!(false)));
    assert_eq!((&made["registered_by"], &made["version"]), (&json!("admin"), &json!(1)));
    assert_eq!(api.get(path).expect_status(200), made);
    assert_eq!(api.get("/v1/apps/shop/triggers").expect_status(200), json!({"triggers": [made]}));
    assert_eq!(api.send("POST", &format!("{path}/pause"), &[], "").expect_status(200)["paused"], json!(true));
    assert_eq!(api.get(path).expect_status(200)["paused"], json!(true));
    assert_eq!(api.send("POST", &format!("{path}/resume"), &[], "").expect_status(200), made);
    assert_eq!(api.put(path, on(json!({"native": "noop"}))).expect_status(200)["version"], json!(2));
    api.delete(path).expect_status(204);
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")] {
        api.send(method, &format!("{path}{rest}"), &[], "").expect_problem(404, "trigger_not_found");
    }
}

#[test]
fn a_trigger_that_cannot_fire_is_refused() {
    let api = Api::new();
    let with = |field: &str, value: Value| {
        let mut spec = on(json!({"script": "fine"}));
        spec[field] = value;
        spec
    };
    for (spec, detail_part) in [
        (on(json!({"script": "none"})), "no script none"),
        (on(json!({"native": "none"})), "no native handler none"),
        (on(json!({"webhook": "https://example.org"})), "webhooks are not supported yet; nothing was changed"),
        (with("match", json!({"source": "http", "method": "get", "path": "/"})), "in upper case"),
        (with("match", json!({"source": "http", "method": "GET", "path": "a"})), "begin with /"),
        (with("match", json!({"source": "http", "method": "GET", "path": "/{a}/{a}"})), "the same name"),
        (with("match", json!({"source": "app", "type": ""})), "pattern"),
        (with("match", json!({"source": "cron", "expression": "every day"})), "every day"),
        (
            with("match", json!({"source": "cron", "expression": "*/90 * * * *"})),
            "minute must be from 1 to 60, but it is 90",
        ),
        (
            with("match", json!({"source": "cron", "expression": "60 * * * *"})),
            "minute must be from 0 to 59, but it is 60",
        ),
        (with("match", json!({"source": "cron", "expression": "0 0 31 2 *"})), "never ticks"),
        (with("match", json!({"source": "cron", "expression": "0 0 0 1 1 * 2020"})), "expression: the schedule"),
        (with("match", json!({"source": "kv", "collection": "orders/*"})), "collection = \"orders\" and key = \"*\""),
        (with("match", json!({"source": "kv", "key": "[a-z]*"})), "key: the pattern"),
        (with("match", json!({"source": "app", "type": "a|b"})), "type: the pattern"),
        (with("match", json!({"source": "app", "type": "{a,b}"})), "type: the pattern"),
        (with("match", json!({"source": "app", "type": "a", "subject": "a?"})), "subject: the pattern"),
        (with("match", json!({"source": "http", "method": "GET", "path": "/a/:id"})), "write {name} for one segment"),
        (with("match", json!({"source": "dead_letter", "trigger": "none"})), "there is no trigger \"none\""),
        (with("retry", json!({"max_attempts": 0})), "max_attempts"),
        (with("timeout_ms", json!(0)), "timeout_ms"),
        (with("retries", json!(1)), "retries"),
        (with("name", json!("other")), "path"),
        (json!("t"), "object"),
    ] {
        let detail = api.put("/v1/apps/shop/triggers/t", spec).expect_problem(400, "invalid_request");
        assert!(detail.contains(detail_part), "{detail_part:?} is not in {detail:?}");
    }
    assert_eq!(api.get("/v1/apps/shop/triggers").expect_status(200), json!({"triggers": []}));
    let mut http = with("match", json!({"source": "http", "method": "GET", "path": "/a/{id}"}));
    http["retry"] = json!({"max_attempts": 3});
    let detail = api.put("/v1/apps/shop/triggers/t", http).expect_problem(400, "invalid_request");
    assert!(detail.contains("retry: a trigger of the source \"http\" is never retried"), "{detail}");
    let cron = with("match", json!({"source": "cron", "expression": "*/5 * * * *", "time_zone": "Europe/Berlin"}));
    api.put("/v1/apps/shop/triggers/t", cron).expect_status(200);
}

#[test]
fn triggers_that_conflict_are_refused() {
    let api = Api::new();
    let http =
        |path: &str| json!({"match": {"source": "http", "method": "GET", "path": path}, "handler": {"script": "fine"}});
    let letters =
        |trigger: &str| json!({"match": {"source": "dead_letter", "trigger": trigger}, "handler": {"script": "fine"}});
    api.put("/v1/apps/shop/triggers/a", http("/x/{id}")).expect_status(200);
    api.put("/v1/apps/shop/triggers/a", http("/x/{id}")).expect_status(200);
    let detail = api.put("/v1/apps/shop/triggers/b", http("/x/{name}")).expect_problem(400, "invalid_request");
    assert!(detail.contains("trigger b: path: the trigger \"a\" has the same method and path"), "{detail}");
    let detail = api.put("/v1/apps/shop/triggers/b", letters("a")).expect_problem(400, "invalid_request");
    assert!(detail.contains("makes no dead letters"), "{detail}");

    let before = api.state();
    let deployment = json!({
        "scripts": [{"name": "fine", "source": FINE}],
        "triggers": [named("a", http("/x/{id}")), named("b", http("/x/{name}")), named("c", letters("d"))],
    });
    let answer = api.put(SHOP, deployment);
    let errors = answer.json()["errors"].clone();
    answer.expect_problem(400, "invalid_request");
    let at: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["at"].as_str().unwrap()).collect();
    assert_eq!(at, ["trigger b", "trigger c"], "{errors}");
    assert_eq!(api.state(), before);
}

#[test]
fn a_script_that_triggers_use_is_not_deleted() {
    let api = Api::new();
    for name in ["a", "b"] {
        api.put(&format!("/v1/apps/shop/triggers/{name}"), on(json!({"script": "fine"}))).expect_status(200);
    }
    let detail = api.delete("/v1/apps/shop/scripts/fine").expect_problem(409, "script_in_use");
    assert!(detail.contains("a, b"), "{detail}");
    for name in ["a", "b"] {
        api.delete(&format!("/v1/apps/shop/triggers/{name}")).expect_status(204);
    }
    api.delete("/v1/apps/shop/scripts/fine").expect_status(204);
}

#[test]
fn a_trigger_with_waiting_deliveries_is_deleted_only_on_request() {
    let api = Api::new();
    let deployment = |triggers: Value, renames: Value| json!({"scripts": [{"name": "fine", "source": FINE}], "triggers": triggers, "renames": renames});
    let trigger = |name: &str| named(name, on(json!({"script": "fine"})));
    api.put(SHOP, deployment(json!([trigger("q")]), json!([]))).expect_status(200);
    for _ in 0..3 {
        let event = json!({"specversion": "1.0", "type": "t"}).to_string();
        api.send("POST", "/v1/apps/shop/events", &[], event).expect_status(202);
    }
    let before = api.state();
    let answer = api.put(SHOP, deployment(json!([trigger("q2")]), json!([])));
    let errors = answer.json()["errors"].clone();
    let detail = answer.expect_problem(409, "deliveries_waiting");
    assert!(detail.contains("renamed_from") && detail.contains("--dead-letter-waiting"), "{detail}");
    assert_eq!(errors, json!([{"at": "trigger q", "message": "3 deliveries wait or run"}]));
    assert_eq!(api.state(), before);

    let renames = json!([{"from": "q", "to": "q2"}]);
    let report = api.put(SHOP, deployment(json!([trigger("q2")]), renames)).expect_status(200);
    assert_eq!(report["triggers"], json!([{"name": "q2", "change": "renamed"}]));
    let rows = api.get("/v1/apps/shop/deliveries?trigger=q2").expect_status(200);
    assert_eq!(rows["deliveries"].as_array().map(Vec::len), Some(3), "{rows}");

    let path = "/v1/apps/shop?dead_letter_waiting=true";
    let report = api.put(path, deployment(json!([]), json!([]))).expect_status(200);
    assert_eq!(report["triggers"], json!([{"name": "q2", "change": "deleted"}]));
}
