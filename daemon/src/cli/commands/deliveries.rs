use super::super::args::{DeliveriesCommand, DeliveriesListArgs};
use super::super::attempts::{AttemptView, EventView};
use super::super::client::Call;
use super::super::error::CliError;
use super::super::{attempts, text};
use super::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

#[derive(Deserialize)]
struct List {
    deliveries: Vec<DeliveryView>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct DeliveryView {
    id: i64,
    trigger: String,
    state: String,
    attempt: u32,
    lost: u32,
    max_attempts: u32,
    due_at: String,
    enqueued_at: String,
    event: Box<RawValue>,
    failed: Vec<AttemptView>,
}

/// The width of an error in a table, in characters.
const ERROR_WIDTH: usize = 60;

pub(in super::super) fn run(context: &Context, command: DeliveriesCommand) -> Result<(), CliError> {
    match command {
        DeliveriesCommand::List(args) => list(context, args),
        DeliveriesCommand::Show { id } => {
            let answer = context.target.client.call(Call::get(context.target.path(&format!("/deliveries/{id}"))?))?;
            context.show(&answer.body, |delivery: &DeliveryView| render_details(context, delivery))
        }
    }
}

fn list(context: &Context, args: DeliveriesListArgs) -> Result<(), CliError> {
    let call = Call::get(context.target.path("/deliveries")?)
        .query("trigger", args.trigger)
        .query("state", args.state)
        .query("limit", args.page.limit)
        .query("cursor", args.page.cursor);
    let answer = context.target.client.call(call)?;
    let mut cursor = None;
    context.show(&answer.body, |list: &List| {
        cursor.clone_from(&list.cursor);
        if list.deliveries.is_empty() {
            return "no deliveries wait or run\n".to_owned();
        }
        let row = |delivery: &DeliveryView| {
            vec![
                delivery.id.to_string(),
                delivery.trigger.clone(),
                delivery.state.clone(),
                format!("{}/{}", delivery.attempt, delivery.max_attempts),
                text::age(&delivery.due_at, context.now),
                EventView::read(&delivery.event).type_and_subject(),
                delivery.failed.last().map_or_else(String::new, |last| last.summary(ERROR_WIDTH)),
            ]
        };
        let rows: Vec<_> = list.deliveries.iter().map(row).collect();
        text::table(&["ID", "TRIGGER", "STATE", "ATTEMPT", "DUE", "EVENT", "LAST ERROR"], &rows)
    })?;
    context.note_next_page(cursor.as_deref());
    Ok(())
}

fn render_details(context: &Context, delivery: &DeliveryView) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a String cannot fail");
    line(format!("delivery {}  {}", delivery.id, delivery.state));
    line(format!("  trigger     {}", delivery.trigger));
    line(format!("  event       {}", EventView::read(&delivery.event).type_and_subject()));
    line(format!("  attempt     {} of {}", delivery.attempt, delivery.max_attempts));
    if delivery.lost > 0 {
        line(format!("  lost        {}; it runs alone", delivery.lost));
    }
    line(format!("  due         {} ({})", delivery.due_at, text::age(&delivery.due_at, context.now)));
    line(format!("  enqueued    {}", delivery.enqueued_at));
    out + &attempts::render(&delivery.failed) + &attempts::render_event(&delivery.event)
}
