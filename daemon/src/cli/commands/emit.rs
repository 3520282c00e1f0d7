use super::super::args::EmitArgs;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::text;
use super::{Context, json_argument};
use serde::{Deserialize, Serialize};
use tidegate_core::Json;
use ureq::http::Method;

#[derive(Deserialize)]
struct EmitAnswer {
    events: Vec<EventRow>,
}

#[derive(Deserialize)]
struct EventRow {
    id: String,
    deliveries: u64,
}

#[derive(Serialize)]
struct NewCloudEvent<'a> {
    specversion: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    datacontenttype: &'a str,
    data: Json,
}

pub(in super::super) fn run(context: &Context, args: EmitArgs) -> Result<(), CliError> {
    let event = NewCloudEvent {
        specversion: "1.0",
        event_type: &args.event_type,
        subject: &args.subject,
        datacontenttype: "application/json",
        data: json_argument(&args.data)?,
    };
    let event = serde_json::to_string(&event).map_err(CliError::failed)?;
    let call = Call::new(Method::POST, context.target.path("/events")?)
        .body("application/cloudevents+json", event)
        .header("idempotency-key", args.idempotency_key);
    let answer = context.target.client.call(call)?;
    context.show(&answer.body, |emitted: &EmitAnswer| {
        let line = |event: &EventRow| {
            let deliveries = text::count(event.deliveries, "trigger");
            format!("event {} emitted; {deliveries} will run\n", event.id)
        };
        emitted.events.iter().map(line).collect()
    })
}
