//! `POST …/events`: one event or a batch, all events or none, once for each idempotency key.

use crate::http_api::{Answer, Api, Header};
use serde_json::{Value, json};

const EVENTS: &str = "/v1/apps/shop/events";
const ONE: Header<'static> = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: Header<'static> = ("content-type", "application/cloudevents-batch+json");

fn with_trigger() -> Api {
    let api = Api::new();
    let spec = json!({"match": {"source": "app", "type": "order.*"}, "handler": {"script": "fine"}});
    api.put("/v1/apps/shop/triggers/t", spec).expect_status(200);
    api
}

fn event(event_type: &str) -> Value {
    json!({"specversion": "1.0", "type": event_type, "subject": "s", "data": {"n": 1}})
}

fn emit(api: &Api, header: Header, body: &Value) -> Answer {
    api.send("POST", EVENTS, &[header], body.to_string())
}

fn rows(api: &Api) -> Vec<Value> {
    api.get("/v1/apps/shop/deliveries").expect_status(200)["deliveries"].as_array().unwrap().clone()
}

#[test]
fn each_content_type_is_accepted_with_its_shape() {
    let api = with_trigger();
    let (one, batch) = (event("order.made"), json!([event("order.made"), event("other")]));
    for (header, body, deliveries) in [
        (ONE, &one, vec![1]),
        (BATCH, &batch, vec![1, 0]),
        (("content-type", "application/json"), &one, vec![1]),
        (("content-type", "application/json"), &batch, vec![1, 0]),
    ] {
        let emitted = emit(&api, header, body).expect_status(202);
        let events = emitted["events"].as_array().unwrap();
        assert_eq!(events.iter().map(|event| event["deliveries"].as_i64().unwrap()).collect::<Vec<_>>(), deliveries);
        assert!(events.iter().all(|event| event["id"].as_str().is_some_and(|id| id.len() == 36)), "{emitted}");
    }
    let rows = rows(&api);
    assert_eq!(rows.len(), 4);
    assert_eq!((&rows[0]["event"]["type"], &rows[0]["event"]["data"]), (&json!("order.made"), &json!({"n": 1})));
    assert_eq!((&rows[0]["event"]["triggerdepth"], &rows[0]["event"]["actor"]), (&json!(0), &json!("admin")));
}

#[test]
fn an_invalid_event_refuses_the_whole_request() {
    let api = with_trigger();
    let good = event("order.made");
    let large = json!({"specversion": "1.0", "type": "t", "data": "x".repeat(300)});
    let empty = json!([]);
    for (header, body, status, code, detail_part) in [
        (ONE, &json!([good]), 400, "invalid_request", "content-type"),
        (BATCH, &good, 400, "invalid_request", "content-type"),
        (("content-type", "text/plain"), &good, 400, "invalid_request", "text/plain"),
        (BATCH, &empty, 400, "invalid_request", "1 to 1000"),
        (ONE, &json!({"specversion": "1.0"}), 400, "invalid_request", "type"),
        (ONE, &json!({"specversion": "0.3", "type": "t"}), 400, "invalid_request", "specversion"),
        (ONE, &large, 413, "payload_too_large", "256"),
        (BATCH, &json!([good, large]), 413, "payload_too_large", "[1]"),
        (BATCH, &json!([good, 7]), 400, "invalid_request", "[1]"),
        (BATCH, &json!([good, ["1.0", "order.made"]]), 400, "invalid_request", "object"),
        (ONE, &Value::Null, 400, "invalid_request", "an event must be a JSON object, but it is null"),
        (ONE, &json!({"specversion": "1.0", "type": 7}), 400, "invalid_request", "type must be a string, but it is"),
        (
            ONE,
            &json!({"specversion": "1.0", "type": "t", "data_base64": "aGk="}),
            400,
            "invalid_request",
            "does not hold JSON",
        ),
        (
            ONE,
            &json!({"specversion": "1.0", "type": "t", "data": 1, "data_base64": "MQ=="}),
            400,
            "invalid_request",
            "exclude",
        ),
    ] {
        let detail = emit(&api, header, body).expect_problem(status, code);
        assert!(detail.contains(detail_part), "{detail}");
    }
    for (header, body) in [(ONE, "{"), (BATCH, "[{]"), (BATCH, "nothing"), (ONE, "")] {
        api.send("POST", EVENTS, &[header], body).expect_problem(400, "invalid_json");
    }
    assert_eq!(rows(&api), Vec::<Value>::new());
}

#[test]
fn data_in_base64_and_null_attributes_are_accepted() {
    let api = with_trigger();
    let sent = json!({
        "specversion": "1.0", "type": "order.made", "subject": null, "datacontenttype": null, "data_base64": "eyJuIjoyfQ==",
    });
    emit(&api, ONE, &sent).expect_status(202);
    let rows = rows(&api);
    assert_eq!((&rows[0]["event"]["data"], rows[0]["event"].get("subject")), (&json!({"n": 2}), None));
}

#[test]
fn all_errors_of_a_batch_are_listed() {
    let api = with_trigger();
    let bad_name = json!({"specversion": "1.0", "type": ""});
    let answer = emit(&api, BATCH, &json!([bad_name, event("order.made"), {"specversion": "1.0"}]));
    let errors = answer.json()["errors"].clone();
    answer.expect_problem(400, "invalid_request");
    let at: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["at"].as_str().unwrap()).collect();
    assert_eq!(at, ["[0]", "[2]"]);
    assert!(errors[1]["message"].as_str().unwrap().contains("type"), "{errors}");
}

#[test]
fn a_batch_has_at_most_a_thousand_events() {
    let api = Api::new();
    let batch = |many: usize| Value::from(vec![json!(0); many]).to_string();
    // All events are invalid. The length of the batch is checked before the events.
    let detail = api.send("POST", EVENTS, &[BATCH], batch(1_000)).expect_problem(400, "invalid_request");
    assert!(detail.contains("[0]"), "{detail}");
    let detail = api.send("POST", EVENTS, &[BATCH], batch(1_001)).expect_problem(400, "invalid_request");
    assert!(detail.contains("1001"), "{detail}");
}

#[test]
fn a_request_with_an_idempotency_key_is_applied_once() {
    let api = with_trigger();
    let key = ("idempotency-key", "k1");
    let send = |key, body: &Value| api.send("POST", EVENTS, &[ONE, key], body.to_string());
    let first = send(key, &event("order.made")).expect_status(202);
    let again = send(key, &event("order.made")).expect_status(202);
    assert_eq!(first["events"][0]["id"], again["events"][0]["id"]);
    assert_eq!(rows(&api).len(), 1);
    send(key, &event("order.gone")).expect_problem(422, "idempotency_key_reused");
    send(("idempotency-key", ""), &event("order.gone")).expect_problem(400, "invalid_request");
    assert_eq!(rows(&api).len(), 1);
    send(("idempotency-key", "k2"), &event("order.gone")).expect_status(202);
    assert_eq!(rows(&api).len(), 2);
}
