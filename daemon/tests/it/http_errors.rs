//! Each error is a problem document with its code, and the request changes nothing.

use crate::http_api::{Api, FINE, Header, TOKEN};
use async_trait::async_trait;
use axum::http::Request;
use serde_json::json;
use std::sync::Arc;
use tidegate::http::Readiness;
use tidegate::services::Services;
use tidegate_core::{AppName, Cause, Collection, Json, Key, StoreError, StoreErrorKind};
use tidegate_ports::{Guard, KvEntries, KvEntry, KvMutation, KvPage, KvStore, PortError};

/// The routes that these tests call.
const ROUTES: [(&str, &str); 22] = [
    ("GET", "/v1/version"),
    ("GET", "/v1/apps"),
    ("PUT", "/v1/apps/shop"),
    ("GET", "/v1/apps/shop/kv/c"),
    ("GET", "/v1/apps/shop/kv/c/k"),
    ("PUT", "/v1/apps/shop/kv/c/k"),
    ("DELETE", "/v1/apps/shop/kv/c/k"),
    ("POST", "/v1/apps/shop/events"),
    ("GET", "/v1/apps/shop/scripts"),
    ("GET", "/v1/apps/shop/scripts/fine"),
    ("PUT", "/v1/apps/shop/scripts/fine"),
    ("DELETE", "/v1/apps/shop/scripts/fine"),
    ("GET", "/v1/apps/shop/triggers"),
    ("GET", "/v1/apps/shop/triggers/t"),
    ("PUT", "/v1/apps/shop/triggers/t"),
    ("DELETE", "/v1/apps/shop/triggers/t"),
    ("POST", "/v1/apps/shop/triggers/t/pause"),
    ("POST", "/v1/apps/shop/triggers/t/resume"),
    ("GET", "/v1/apps/shop/deliveries"),
    ("GET", "/v1/apps/shop/deliveries/1"),
    ("GET", "/v1/apps/shop/dead-letters"),
    ("GET", "/v1/apps/shop/dead-letters/1"),
];

/// A body that the route accepts.
fn body(method: &str, path: &str) -> String {
    match (method, path.rsplit('/').next()) {
        ("PUT", Some("fine")) => FINE.to_owned(),
        ("PUT", Some("t")) => {
            json!({"match": {"source": "app", "type": "t"}, "handler": {"script": "fine"}}).to_string()
        }
        ("PUT", _) => "{}".to_owned(),
        ("POST", Some("events")) => json!({"specversion": "1.0", "type": "t"}).to_string(),
        _ => String::new(),
    }
}

#[test]
fn every_route_requires_a_valid_token() {
    let api = Api::new();
    let before = api.state();
    let wrong_case = TOKEN.to_uppercase();
    let others = ["", "Bearer", "Bearer ", "Bearer wrong", "Basic wrong"].map(str::to_owned);
    let others = others.into_iter().chain([format!("Bearer {wrong_case}"), format!("Basic {TOKEN}"), TOKEN.to_owned()]);
    for authorization in others {
        for (method, path) in ROUTES {
            let request = Request::builder().method(method).uri(path).header("authorization", &authorization);
            let answer = api.raw(request, body(method, path));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path} {authorization:?}");
            answer.expect_problem(401, "unauthorized");
        }
    }
    api.raw(Request::builder().uri("/v1/apps"), "").expect_problem(401, "unauthorized");
    assert_eq!(api.state(), before);
    let request = Request::builder().uri("/v1/apps").header("authorization", format!("bearer {TOKEN}"));
    api.raw(request, "").expect_status(200);
}

#[test]
fn every_route_refuses_unknown_query_parameters() {
    let api = Api::new();
    let before = api.state();
    for (method, path) in ROUTES {
        let detail =
            api.send(method, &format!("{path}?x=1"), &[], body(method, path)).expect_problem(400, "invalid_request");
        assert!(detail.contains("`x`"), "{method} {path}: {detail}");
    }
    assert_eq!(api.state(), before);
}

#[test]
fn a_precondition_is_checked_or_refused() {
    let api = Api::new();
    let before = api.state();
    for (method, path) in ROUTES.iter().filter(|(method, path)| *method != "GET" && !path.contains("/kv/")) {
        for guard in [("if-match", "\"1\""), ("if-none-match", "*")] {
            let detail = api.send(method, path, &[guard], body(method, path)).expect_problem(400, "invalid_request");
            assert!(detail.contains(guard.0), "{detail}");
        }
    }
    assert_eq!(api.state(), before);
}

#[test]
fn every_route_of_an_app_answers_404_if_the_app_does_not_exist() {
    let api = Api::empty();
    for (method, path) in ROUTES.iter().filter(|(_, path)| path.starts_with("/v1/apps/shop/")) {
        let detail = api.send(method, path, &[], body(method, path)).expect_problem(404, "unknown_app");
        assert!(detail.contains("shop"), "{method} {path}: {detail}");
    }
    assert_eq!(api.get("/v1/apps").expect_status(200), json!({"apps": []}));
}

#[test]
fn each_error_has_its_code() {
    let api = Api::new();
    let before = api.state();
    let long = format!("\"{}\"", "x".repeat(300));
    let too_long = "x".repeat(5_000);
    let k = "/v1/apps/shop/kv/c/k";
    for (method, path, body, status, code, detail_part) in [
        ("GET", "/", "", 404, "not_found", "/"),
        ("GET", "/v1/nothing", "", 404, "not_found", "/v1/nothing"),
        ("GET", "/v1/apps/shop/kv/c/", "", 404, "not_found", ""),
        ("PATCH", k, "", 405, "method_not_allowed", "PATCH"),
        ("POST", "/v1/apps", "", 405, "method_not_allowed", "POST"),
        ("GET", "/v1/apps/shop", "", 405, "method_not_allowed", "GET"),
        ("POST", "/healthz", "", 405, "method_not_allowed", "POST"),
        ("GET", "/v1/apps/shop/kv/c/%", "", 400, "invalid_request", "%"),
        ("GET", "/v1/apps/shop/kv/c/%zz", "", 400, "invalid_request", "%"),
        ("PUT", "/v1/apps/shop/kv/c/%ff", "1", 400, "invalid_request", "UTF-8"),
        ("PUT", "/v1/apps/shop/kv/c/%00", "1", 400, "invalid_request", "key"),
        ("PUT", "/v1/apps/shop/kv/.c/k", "1", 400, "invalid_request", "collection"),
        ("PUT", "/v1/apps/No.App", "{}", 400, "invalid_request", "No.App"),
        ("PUT", "/v1/apps/shop/scripts/.s", FINE, 400, "invalid_request", "script"),
        ("PUT", "/v1/apps/shop/triggers/.t", "{}", 400, "invalid_request", "trigger"),
        ("PUT", k, "", 400, "invalid_json", ""),
        ("PUT", k, "{\"a\":", 400, "invalid_json", ""),
        ("PUT", k, "\"\\u0000\"", 400, "invalid_json", "0000"),
        ("PUT", "/v1/apps/shop", "{", 400, "invalid_json", ""),
        ("PUT", "/v1/apps/shop/triggers/t", "{", 400, "invalid_json", ""),
        ("PUT", k, &long, 413, "payload_too_large", "256"),
        ("PUT", k, &too_long, 413, "payload_too_large", "4096"),
        ("PUT", "/v1/apps/shop", &too_long, 413, "payload_too_large", "4096"),
        ("PUT", "/v1/apps/shop/scripts/s", &too_long, 413, "payload_too_large", "4096"),
        ("POST", "/v1/apps/shop/events", &too_long, 413, "payload_too_large", "4096"),
        ("GET", "/v1/apps/shop/deliveries/9", "", 404, "delivery_not_found", "9"),
        ("GET", "/v1/apps/shop/dead-letters/9", "", 404, "dead_letter_not_found", "9"),
        ("GET", "/v1/apps/shop/deliveries/x", "", 400, "invalid_request", "id"),
        ("GET", "/v1/apps/shop/dead-letters/x", "", 400, "invalid_request", "id"),
        ("GET", "/v1/apps/shop/deliveries?state=gone", "", 400, "invalid_request", "state"),
        ("GET", "/v1/apps/shop/deliveries?trigger=.t", "", 400, "invalid_request", "trigger"),
        ("GET", "/v1/apps/shop/dead-letters?open=maybe", "", 400, "invalid_request", "open"),
    ] {
        let detail = api.send(method, path, &[], body.to_owned()).expect_problem(status, code);
        assert!(detail.contains(detail_part), "{method} {path}: {detail_part:?} is not in {detail:?}");
    }
    assert_eq!(api.state(), before);
}

#[test]
fn a_refused_method_gets_the_allowed_methods() {
    let api = Api::new();
    let answer = api.send("PATCH", "/v1/apps/shop/kv/c/k", &[], "");
    let allowed = answer.header("allow").unwrap_or_default();
    assert!(["GET", "PUT", "DELETE"].iter().all(|method| allowed.contains(method)), "{answer:?}");
}

#[test]
fn every_list_checks_limit_and_cursor() {
    let api = Api::new();
    for list in ["kv/c", "deliveries", "dead-letters"] {
        for limit in ["0", "1001", "-1", "many", ""] {
            let detail = api.get(&format!("/v1/apps/shop/{list}?limit={limit}")).expect_problem(400, "invalid_request");
            assert!(detail.contains("limit"), "{list} {limit:?}: {detail}");
        }
        let detail = api.get(&format!("/v1/apps/shop/{list}?cursor=xyz")).expect_problem(400, "invalid_request");
        assert!(detail.contains("cursor"), "{list}: {detail}");
        api.get(&format!("/v1/apps/shop/{list}?limit=1000")).expect_status(200);
    }
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    let api = Api::new();
    for path in ["/v1/apps/shop/kv/c/k", "/v1/apps/shop/scripts/s", "/v1/apps/shop"] {
        api.send("PUT", path, &[], vec![b'"', 0xff, b'"']).expect_problem(400, "invalid_json");
    }
}

/// A store that answers every call with this error. Without an error it panics.
struct FailingStore(Option<PortError>);

impl FailingStore {
    fn fail<T>(&self) -> Result<T, PortError> {
        Err(self.0.clone().expect("without an error this store panics"))
    }
}

#[async_trait]
impl KvStore for FailingStore {
    async fn get(&self, _: &AppName, _: &Collection, _: &Key) -> Result<Option<KvEntry>, PortError> {
        self.fail()
    }

    async fn put(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Json,
        _: Guard,
        _: &Cause,
    ) -> Result<KvMutation, PortError> {
        self.fail()
    }

    async fn delete(
        &self,
        _: &AppName,
        _: &Collection,
        _: &Key,
        _: Guard,
        _: &Cause,
    ) -> Result<Option<KvMutation>, PortError> {
        self.fail()
    }

    async fn list(&self, _: &AppName, _: &Collection, _: &KvPage) -> Result<KvEntries, PortError> {
        self.fail()
    }
}

#[test]
fn an_unapplied_request_and_an_unknown_outcome_have_different_codes() {
    let api = Api::new();
    let not_applied = PortError::Store(StoreError::not_applied(StoreErrorKind::Unavailable, "gone"));
    let contention = PortError::Store(StoreError::not_applied(StoreErrorKind::Contention, "gone"));
    let unknown = PortError::Store(StoreError::unknown("gone"));
    for (error, status, code, retry_after) in [
        (Some(not_applied), 503, "store_unavailable", Some("1")),
        (Some(contention), 503, "store_unavailable", Some("1")),
        (Some(unknown), 503, "store_outcome_unknown", None),
        (None, 500, "internal", None),
    ] {
        let kv = Arc::new(FailingStore(error));
        api.readiness.send_replace(Readiness::Ready(Arc::new(Services { kv, ..api.services.clone() })));
        for (method, path) in [("GET", "c"), ("GET", "c/k"), ("PUT", "c/k"), ("DELETE", "c/k")] {
            let answer = api.send(method, &format!("/v1/apps/shop/kv/{path}"), &[], "1");
            assert_eq!(answer.header("retry-after"), retry_after, "{method} {path}: {answer:?}");
            answer.expect_problem(status, code);
        }
    }
}

#[test]
fn every_route_answers_503_without_a_store() {
    let api = Api::new();
    for readiness in [Readiness::Unavailable("starting".to_owned()), Readiness::ShuttingDown] {
        api.readiness.send_replace(readiness);
        for (method, path) in ROUTES.iter().skip(1) {
            let answer = api.send(method, path, &[] as &[Header], body(method, path));
            assert_eq!(answer.header("retry-after"), Some("1"), "{method} {path}");
            answer.expect_problem(503, "store_unavailable");
        }
        api.get("/v1/version").expect_status(200);
    }
}
