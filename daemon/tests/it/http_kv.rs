//! `…/kv`: values are kept byte for byte, have versions and preconditions, and are listed in pages.

use crate::http_api::{Api, NOW_TEXT};
use crate::world::{App, MachineLock, StoreKind, TESTBED, World, client};
use serde_json::json;

const K: &str = "/v1/apps/shop/kv/c/k";

#[test]
fn a_value_reads_back_byte_for_byte_with_its_version() {
    let api = Api::new();
    let put = api.send("PUT", K, &[], " {\"b\": 1.50, \"a\":[ ]}\n");
    let etag = put.header("etag").unwrap().to_owned();
    let body = put.expect_status(200);
    assert_eq!((&body["updated_at"], &body["deliveries"]), (&json!(NOW_TEXT), &json!(0)));
    assert!(body["event_id"].as_str().is_some_and(|id| id.len() == 36), "{body}");
    assert_eq!(etag, format!("\"{}\"", body["version"]));

    let got = api.get(K);
    assert_eq!((got.status, got.text.as_str()), (200, "{\"b\": 1.50, \"a\":[ ]}"));
    assert_eq!(got.header("etag"), Some(etag.as_str()));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("tidegate-updated-at"), Some(NOW_TEXT));
    assert_eq!(api.send("HEAD", K, &[], "").status, 200);
}

#[test]
fn a_key_may_contain_slashes_and_escaped_characters() {
    let api = Api::new();
    for (path, key) in [("a/b", "a/b"), ("a%2Fc", "a/c"), ("%C3%BC%20%25", "ü %"), ("x//y", "x//y")] {
        api.put(&format!("/v1/apps/shop/kv/keys/{path}"), json!(key)).expect_status(200);
        assert_eq!(api.get(&format!("/v1/apps/shop/kv/keys/{path}")).expect_status(200), json!(key));
        let query = format!("/v1/apps/shop/kv/keys?prefix={}", path.replace('/', "%2F"));
        assert_eq!(api.get(&query).expect_status(200)["entries"][0]["key"], json!(key));
    }
}

#[test]
fn a_mutation_happens_only_if_its_precondition_holds() {
    let api = Api::new();
    let first = api.send("PUT", K, &[("if-none-match", "*")], "1").expect_status(200)["version"].clone();
    assert!(
        api.send("PUT", K, &[("if-none-match", "*")], "2")
            .expect_problem(412, "precondition_failed")
            .contains("version")
    );
    for method in ["PUT", "DELETE"] {
        api.send(method, K, &[("if-match", "\"99999\"")], "2").expect_problem(412, "precondition_failed");
        api.send(method, "/v1/apps/shop/kv/c/none", &[("if-match", "\"1\"")], "2")
            .expect_problem(412, "precondition_failed");
    }
    assert_eq!(api.get(K).expect_status(200), json!(1));
    let tag = format!("\"{first}\"");
    let second = api.send("PUT", K, &[("if-match", &tag)], "2").expect_status(200)["version"].clone();
    assert!(second.as_i64() > first.as_i64());
    api.send("DELETE", K, &[("if-match", &tag)], "").expect_problem(412, "precondition_failed");
    api.send("DELETE", K, &[("if-match", &format!("\"{second}\""))], "").expect_status(204);
    api.put(K, json!(3)).expect_status(200);
    api.delete(K).expect_status(204);
    api.delete(K).expect_problem(404, "key_not_found");
    api.get(K).expect_problem(404, "key_not_found");
}

#[test]
fn an_invalid_precondition_changes_nothing() {
    let api = Api::new();
    for (method, header) in [
        ("PUT", ("if-match", "1")),
        ("PUT", ("if-match", "*")),
        ("PUT", ("if-none-match", "\"1\"")),
        ("DELETE", ("if-none-match", "*")),
    ] {
        api.send(method, K, &[header], "1").expect_problem(400, "invalid_request");
    }
    api.send("PUT", K, &[("if-match", "\"1\""), ("if-none-match", "*")], "1").expect_problem(400, "invalid_request");
    api.get(K).expect_problem(404, "key_not_found");
}

#[test]
fn a_caller_with_the_newest_version_gets_no_body() {
    let api = Api::new();
    let tag = format!("\"{}\"", api.put(K, json!(1)).expect_status(200)["version"]);
    let unchanged = api.send("GET", K, &[("if-none-match", &format!("\"99\", {tag}"))], "");
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
    assert_eq!(api.send("GET", K, &[("if-none-match", "\"99\"")], "").expect_status(200), json!(1));
}

#[test]
fn a_list_comes_in_pages_in_the_order_of_keys() {
    let api = Api::new();
    for key in ["b/2", "b/1", "a", "b/%C3%BC"] {
        api.put(&format!("/v1/apps/shop/kv/c/{key}"), json!({"n": key})).expect_status(200);
    }
    let mut keys = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/apps/shop/kv/c?prefix=b/&limit=2{cursor}")).expect_status(200);
        let entries = page["entries"].as_array().unwrap();
        assert!(entries.iter().all(|entry| entry["updated_at"] == NOW_TEXT && entry["version"].is_i64()), "{page}");
        keys.push(entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(keys, [vec!["b/1", "b/2"], vec!["b/ü"]]);
    assert_eq!(
        api.get("/v1/apps/shop/kv/c?limit=4").expect_status(200)["cursor"],
        json!(null),
        "a full last page has no cursor"
    );
    api.send("PUT", "/v1/apps/shop/kv/verbatim/k", &[], "12.50").expect_status(200);
    assert!(
        api.get("/v1/apps/shop/kv/verbatim").text.contains("\"value\":12.50,"),
        "the value is the one that was put"
    );
    assert_eq!(api.get("/v1/apps/shop/kv/empty").expect_status(200), json!({"entries": [], "cursor": null}));
}

#[test]
fn a_mutation_returns_the_number_of_its_deliveries() {
    let api = Api::new();
    let spec = json!({"match": {"source": "kv", "ops": ["set"], "collection": "c"}, "handler": {"script": "fine"}});
    for name in ["one", "two"] {
        api.put(&format!("/v1/apps/shop/triggers/{name}"), spec.clone()).expect_status(200);
    }
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(api.send("PUT", K, &[("traceparent", trace)], "1").expect_status(200)["deliveries"], json!(2));
    api.delete(K).expect_status(204);
    let rows = api.get("/v1/apps/shop/deliveries").expect_status(200)["deliveries"].clone();
    assert_eq!(rows.as_array().unwrap().len(), 2, "only the set fires a trigger: {rows}");
    assert_eq!(rows[0]["event"]["traceparent"], json!(trace));
    assert_eq!(rows[0]["event"]["actor"], json!("admin"));
}

#[test]
fn a_page_of_long_values_ends_early_with_a_cursor() {
    const VALUES: usize = 40;
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("long", TESTBED, &[]);
    let app = App::new(client(&daemon), "long");
    app.deploy(&[], &[]);
    for n in 0..VALUES {
        app.client.put(&app.path(&format!("/kv/c/k{n:02}")), &json!("x".repeat(200_000))).ok();
    }
    let (mut keys, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = app.client.get(&app.path(&format!("/kv/c?limit=1000{cursor}"))).ok();
        assert!(page.to_string().len() < 5 << 20, "a page has at most 4 MiB of keys and values");
        keys.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((keys.len(), pages), (VALUES, 2));
    assert!(keys.is_sorted());
}
