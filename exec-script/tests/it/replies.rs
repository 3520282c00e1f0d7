//! The replies of a script to its caller.

use crate::world::{World, delivery};
use std::time::Duration;
use tidegate_core::*;
use tidegate_ports::{Executor, StartWait};

fn call(event_type: &str, data: &str) -> Delivery {
    let base = delivery(Duration::from_secs(5));
    let (event_type, data) = (EventType::new(event_type).unwrap(), Json::parse(data).unwrap());
    let inbox = InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(1)), seq: 1 };
    Delivery { reply_to: Some(inbox), event: Event { event_type, data, ..base.event }, ..base }
}

async fn answer(source: &str, delivery: Delivery) -> Result<Option<HandlerReply>, (ExecError, String)> {
    match World::new(source).executor.execute(std::sync::Arc::new(delivery), &StartWait::begin()).await {
        Outcome::Succeeded { reply, .. } => Ok(reply),
        Outcome::Failed(failure) => Err((failure.error, failure.message)),
        Outcome::NotStarted { reason } => panic!("the handler did not start: {reason}"),
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: Option<&str>) -> HandlerReply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HandlerReply { status, headers, body: body.map(|body| Json::parse(body).unwrap()) }
}

#[tokio::test]
async fn an_http_handler_gets_the_request_and_returns_a_response() {
    let source = r#"export default (request, ctx) => ({
        status: 202, headers: { "x-a": "b" }, body: { n: request.json().n + 1, m: request.method, t: request.text().length },
    })"#;
    let request = call("http.request", r#"{"method":"POST","body":"{\"n\": 1}"}"#);
    let expected = reply(202, &[("x-a", "b")], Some(r#"{"n":2,"m":"POST","t":8}"#));
    assert_eq!(answer(source, request.clone()).await, Ok(Some(expected)));
    for (source, expected) in [
        ("export default async () => ({})", reply(200, &[], None)),
        ("export default () => ({ body: 'text' })", reply(200, &[], Some("\"text\""))),
        ("export default () => ({ status: 204, body: null })", reply(204, &[], None)),
    ] {
        assert_eq!(answer(source, request.clone()).await, Ok(Some(expected)), "{source}");
    }
}

#[tokio::test]
async fn a_return_value_that_is_no_response_is_an_invalid_reply() {
    for returned in [
        "undefined",
        "null",
        "1",
        "[1]",
        "'text'",
        "{ stat: 1 }",
        "{ status: '200' }",
        "{ status: 1e9 }",
        "{ headers: { a: 1 } }",
        "{ headers: [] }",
        "{ body: 'x'.repeat(300000) }",
        "{ get body() { return 1n } }",
    ] {
        let source = format!("export default () => ({returned})");
        let failed = answer(&source, call("http.request", "{}")).await.expect_err(returned);
        assert_eq!(failed.0, ExecError::InvalidReply, "{returned}: {}", failed.1);
        assert!(failed.1.contains("{ status, headers, body }"), "{}", failed.1);
    }
}

#[tokio::test]
async fn an_invocation_returns_any_json_and_an_event_returns_nothing() {
    for (returned, body) in
        [("undefined", "null"), ("[1, {}]", "[1,{}]"), ("'text'", "\"text\""), ("({ status: 9 })", "{\"status\":9}")]
    {
        let source = format!("export default (event) => {returned}");
        assert_eq!(answer(&source, call("invoke", "1")).await, Ok(Some(reply(200, &[], Some(body)))), "{returned}");
        let event = Delivery { reply_to: None, ..call("invoke", "1") };
        assert_eq!(answer(&source, event).await, Ok(None), "no caller waits");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_the_fault_of_the_caller() {
    for data in [r#"{"body":"{"}"#, r#"{"body":""}"#, r#"{"bodyBase64":"/w=="}"#] {
        for source in [
            "export default (request) => ({ body: request.json() })",
            "export default async (request) => { request.json() }",
        ] {
            let failed = answer(source, call("http.request", data)).await.unwrap_err();
            assert_eq!(failed.0, ExecError::InvalidJson, "{data}: {}", failed.1);
            assert!(failed.1.contains("the body of the request is not JSON"), "{data}: {}", failed.1);
        }
    }
    let source =
        "export default (request) => { try { return { body: request.json() } } catch { return { status: 422 } } }";
    assert_eq!(answer(source, call("http.request", r#"{"body":"{"}"#)).await, Ok(Some(reply(422, &[], None))));
    let failed = answer("export default () => JSON.parse('{')", call("http.request", "{}")).await.unwrap_err();
    assert_eq!(failed.0, ExecError::ScriptDefect, "other JSON is the matter of the script");
}

#[tokio::test]
async fn reading_a_binary_body_as_text_names_body_base64() {
    let source = "export default (request) => ({ body: request.text() })";
    let failed = answer(source, call("http.request", r#"{"bodyBase64":"/w=="}"#)).await.unwrap_err();
    assert_eq!(failed.0, ExecError::ScriptError);
    assert!(failed.1.contains("bodyBase64"), "{}", failed.1);
}
