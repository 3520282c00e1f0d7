//! Deployments, scripts and triggers: checked whole before anything is stored.

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
fn a_deployment_makes_the_app_exactly_that() {
    let api = Api::empty();
    assert_eq!(api.get("/v1/apps").is(200), json!({"apps": []}));
    let deployment = json!({
        "scripts": [{"name": "a", "source": FINE}, {"name": "b", "source": FINE}],
        "triggers": [named("t", on(json!({"script": "a"})))],
    });
    let changes = |pairs: &[(&str, &str)]| -> Value {
        pairs.iter().map(|(name, change)| json!({"name": name, "change": change})).collect()
    };
    let report = api.put(SHOP, deployment.clone()).is(200);
    assert_eq!(report["scripts"], changes(&[("a", "created"), ("b", "created")]));
    assert_eq!(report["triggers"], changes(&[("t", "created")]));
    assert_eq!(api.get("/v1/apps").is(200), json!({"apps": [{"name": "shop", "created_at": NOW_TEXT}]}));
    assert_eq!(api.put(SHOP, deployment).is(200)["triggers"], changes(&[("t", "unchanged")]));
    let report = api.put(SHOP, json!({"scripts": [{"name": "a", "source": "export default () => {}"}]})).is(200);
    assert_eq!(report["scripts"], changes(&[("a", "updated"), ("b", "deleted")]));
    assert_eq!(report["triggers"], changes(&[("t", "deleted")]));
}

#[test]
fn a_deployment_with_anything_wrong_changes_nothing() {
    let api = Api::new();
    api.put("/v1/apps/shop/triggers/kept", on(json!({"script": "fine"}))).is(200);
    let before = api.everything();
    let good = json!({"name": "s", "source": FINE});
    for (deployment, status, code, names) in [
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
        let detail = api.put(SHOP, deployment).refused(status, code);
        assert!(detail.contains(names), "{detail}");
        assert_eq!(api.everything(), before, "{detail}");
    }
}

#[test]
fn all_that_is_wrong_with_a_deployment_is_named_at_once() {
    let api = Api::new();
    let reserved = named("invoke", on(json!({"native": "noop"})));
    let webhook = named("w", on(json!({"webhook": "https://example.org"})));
    let answer = api.put(SHOP, json!({"triggers": [reserved, webhook, named("n", on(json!({"native": "none"})))]}));
    let errors = answer.json()["errors"].clone();
    let detail = answer.refused(400, "invalid_request");
    assert!(
        detail.contains("the name invoke is reserved for invocations") && detail.contains("nothing was changed"),
        "{detail}"
    );
    let at: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["at"].as_str().unwrap()).collect();
    assert_eq!(at, ["trigger invoke", "trigger w", "trigger n"]);
    let answer = api.put(SHOP, json!({"scripts": [{"name": "a", "source": "("}, {"name": "b", "source": "\n)"}]}));
    let errors = answer.json()["errors"].clone();
    answer.refused(422, "script_invalid");
    assert_eq!((&errors[0]["at"], &errors[1]["at"]), (&json!("script a, line 1"), &json!("script b, line 2")));
}

#[test]
fn a_script_is_stored_if_it_compiles() {
    let api = Api::new();
    let path = "/v1/apps/shop/scripts/new";
    let stored = api.send("PUT", path, &[("content-type", "text/plain")], FINE);
    let etag = stored.header("etag").unwrap().to_owned();
    let stored = stored.is(200);
    assert_eq!((&stored["name"], &stored["updated_at"]), (&json!("new"), &json!(NOW_TEXT)));
    assert_eq!(etag, format!("\"{}\"", stored["version"]));
    let got = api.get(path);
    assert_eq!((got.status, got.text.as_str(), got.header("etag")), (200, FINE, Some(etag.as_str())));
    assert!(got.header("content-type").unwrap().starts_with("text/javascript"));
    let list = api.get("/v1/apps/shop/scripts").is(200);
    assert_eq!(list["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(list["scripts"][1], stored, "without its source");

    let detail = api.send("PUT", path, &[], "\nlet x = ;").refused(422, "script_invalid");
    assert!(detail.contains("line 2"), "{detail}");
    assert_eq!(api.get(path).text, FINE, "it is kept");
    api.delete(path).is(204);
    api.delete(path).refused(404, "script_not_found");
    api.get(path).refused(404, "script_not_found");
}

#[test]
fn a_trigger_lives_from_put_to_delete() {
    let api = Api::new();
    let path = "/v1/apps/shop/triggers/t";
    let put = api.put(path, on(json!({"script": "fine"})));
    assert_eq!(put.header("etag"), Some("\"1\""));
    let made = put.is(200);
    assert_eq!((&made["name"], &made["app"], &made["paused"]), (&json!("t"), &json!("shop"), &json!(false)));
    assert_eq!((&made["registered_by"], &made["version"]), (&json!("admin"), &json!(1)));
    assert_eq!(api.get(path).is(200), made);
    assert_eq!(api.get("/v1/apps/shop/triggers").is(200), json!({"triggers": [made]}));
    assert_eq!(api.send("POST", &format!("{path}/pause"), &[], "").is(200)["paused"], json!(true));
    assert_eq!(api.get(path).is(200)["paused"], json!(true));
    assert_eq!(api.send("POST", &format!("{path}/resume"), &[], "").is(200), made);
    assert_eq!(api.put(path, on(json!({"native": "noop"}))).is(200)["version"], json!(2));
    api.delete(path).is(204);
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")] {
        api.send(method, &format!("{path}{rest}"), &[], "").refused(404, "trigger_not_found");
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
    for (spec, names) in [
        (on(json!({"script": "none"})), "no script none"),
        (on(json!({"native": "none"})), "no native handler none"),
        (on(json!({"webhook": "https://example.org"})), "webhooks are not supported yet; nothing was changed"),
        (with("match", json!({"source": "http", "method": "get", "path": "/"})), "in upper case"),
        (with("match", json!({"source": "http", "method": "GET", "path": "a"})), "begin with /"),
        (with("match", json!({"source": "http", "method": "GET", "path": "/{a}/{a}"})), "one name"),
        (with("match", json!({"source": "app", "type": ""})), "pattern"),
        (with("match", json!({"source": "cron", "expression": "every day"})), "every day"),
        (with("retry", json!({"max_attempts": 0})), "max_attempts"),
        (with("timeout_ms", json!(0)), "timeout_ms"),
        (with("retries", json!(1)), "retries"),
        (with("name", json!("other")), "path"),
        (json!("t"), "object"),
    ] {
        let detail = api.put("/v1/apps/shop/triggers/t", spec).refused(400, "invalid_request");
        assert!(detail.contains(names), "{names:?} is not in {detail:?}");
    }
    assert_eq!(api.get("/v1/apps/shop/triggers").is(200), json!({"triggers": []}));
    let cron = with("match", json!({"source": "cron", "expression": "*/5 * * * *", "time_zone": "Europe/Berlin"}));
    api.put("/v1/apps/shop/triggers/t", cron).is(200);
}
