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
    HandlerReply { status, headers, body: body.map(|body| ReplyBody::Json(Json::parse(body).unwrap())) }
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
async fn bytes_are_a_body() {
    let expected =
        |headers| HandlerReply { body: Some(ReplyBody::Base64("AAH/".to_owned())), ..reply(200, headers, None) };
    for bytes in [
        "new Uint8Array([0, 1, 255])",
        "new Uint8Array([0, 1, 255]).buffer",
        "new Uint8Array([9, 0, 1, 255, 9]).subarray(1, 4)",
        "new DataView(new Uint8Array([9, 0, 1, 255]).buffer, 1)",
        "new Int8Array([0, 1, -1])",
    ] {
        let source = format!("export default () => ({{ headers: {{ 'content-type': 'image/png' }}, body: {bytes} }})");
        let answered = answer(&source, call("http.request", "{}")).await;
        assert_eq!(answered, Ok(Some(expected(&[("content-type", "image/png")]))), "{bytes}");
        let answered = answer(&format!("export default () => {bytes}"), call("invoke", "1")).await;
        assert_eq!(answered, Ok(Some(expected(&[]))), "{bytes}");
    }
    let empty =
        answer("export default () => ({ body: new ArrayBuffer(0) })", call("http.request", "{}")).await.unwrap();
    assert_eq!(empty.unwrap().body, Some(ReplyBody::Base64(String::new())));
    for (body, words) in [
        ("new Uint8Array(300000)", "scripts.data_bytes_max"),
        ("(() => { const b = new ArrayBuffer(8); b.transfer(); return b })()", "the return value"),
    ] {
        let failed = answer(&format!("export default () => ({{ body: {body} }})"), call("http.request", "{}")).await;
        let (error, message) = failed.expect_err(body);
        assert!(error == ExecError::InvalidReply && message.contains(words), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_header_can_have_several_values() {
    let source = "export default () => ({ headers: { 'set-cookie': ['a=1', 'b=2'], 'x-none': [], 'x-one': 'c' } })";
    let expected = reply(200, &[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "c")], None);
    assert_eq!(answer(source, call("http.request", "{}")).await, Ok(Some(expected)));
    for value in ["1", "null", "{}", "['a', 1]", "[['a']]", "true"] {
        let source = format!("export default () => ({{ headers: {{ 'x-ok': 'a', 'x-bad': {value} }} }})");
        let (error, message) = answer(&source, call("http.request", "{}")).await.expect_err(value);
        assert!(error == ExecError::InvalidReply && message.contains("the header x-bad is "), "{value}: {message}");
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
