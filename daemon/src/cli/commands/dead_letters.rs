use super::super::args::{DeadLettersCommand, DeadLettersListArgs};
use super::super::attempts::{AttemptView, EventView};
use super::super::client::Call;
use super::super::error::CliError;
use super::super::{attempts, text};
use super::Context;
use super::letter_actions;
use super::triggers::handler;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt::Write as _;

#[derive(Deserialize)]
struct List {
    dead_letters: Vec<DeadLetterView>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct DeadLetterView {
    id: i64,
    trigger: String,
    trigger_version: i64,
    #[serde(default)]
    handler: Value,
    script_version: Option<i64>,
    principal: String,
    event: Box<RawValue>,
    reason: String,
    attempts: u32,
    failed: Vec<AttemptView>,
    fingerprint: String,
    enqueued_at: String,
    created_at: String,
    resolution: Option<String>,
    handler_failure: Option<AttemptView>,
    #[serde(default)]
    redrive_generation: u32,
    previous_letter_id: Option<i64>,
}

/// The width of an error in a table, in characters.
const ERROR_WIDTH: usize = 60;

pub(in super::super) fn run(context: &Context, command: DeadLettersCommand) -> Result<(), CliError> {
    match command {
        DeadLettersCommand::List(args) => list(context, args),
        DeadLettersCommand::Show { id } => {
            let answer = context.target.client.call(Call::get(context.target.path(&format!("/dead-letters/{id}"))?))?;
            context.show(&answer.body, |letter: &DeadLetterView| render_details(context, letter))
        }
        DeadLettersCommand::Redrive(args) => letter_actions::run(context, "redrive", "redriven", args),
        DeadLettersCommand::Discard(args) => letter_actions::run(context, "discard", "discarded", args),
    }
}

fn list(context: &Context, args: DeadLettersListArgs) -> Result<(), CliError> {
    let call = Call::get(context.target.path("/dead-letters")?)
        .query("trigger", args.trigger)
        .query("fingerprint", args.fingerprint)
        .query("open", args.open.then_some(true))
        .query("limit", args.page.limit)
        .query("cursor", args.page.cursor);
    let answer = context.target.client.call(call)?;
    let mut cursor = None;
    context.show(&answer.body, |list: &List| {
        cursor.clone_from(&list.cursor);
        match list.dead_letters.as_slice() {
            [] => "no dead letters\n".to_owned(),
            letters if args.brief => render_table(context, letters),
            letters => letters.iter().map(|letter| render_details(context, letter)).collect::<Vec<_>>().join("\n"),
        }
    })?;
    context.note_next_page(cursor.as_deref());
    Ok(())
}

fn render_table(context: &Context, letters: &[DeadLetterView]) -> String {
    let row = |letter: &DeadLetterView| {
        vec![
            letter.id.to_string(),
            letter.trigger.clone(),
            EventView::read(&letter.event).subject,
            letter.reason.clone(),
            letter.attempts.to_string(),
            text::age(&letter.created_at, context.now),
            letter.resolution.clone().unwrap_or_else(|| "open".to_owned()),
            letter.failed.last().map_or_else(String::new, |last| last.summary(ERROR_WIDTH)),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    text::table(&["ID", "TRIGGER", "SUBJECT", "REASON", "ATTEMPTS", "AGE", "RESOLUTION", "LAST ERROR"], &rows)
}

fn render_details(context: &Context, letter: &DeadLetterView) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a String cannot fail");
    let resolution = letter.resolution.as_deref().unwrap_or("open");
    let script = letter.script_version.map_or_else(String::new, |version| format!(" version {version}"));
    let age = text::age(&letter.created_at, context.now);
    line(format!("dead letter {}  {}  {resolution}  {age}", letter.id, letter.reason));
    line(format!("  trigger     {} version {}", letter.trigger, letter.trigger_version));
    line(format!("  handler     {}{script}", handler(&letter.handler)));
    line(format!("  event       {}", EventView::read(&letter.event).type_and_subject()));
    line(format!("  ran as      {}", letter.principal));
    line(format!("  enqueued    {}", letter.enqueued_at));
    line(format!("  died        {}", letter.created_at));
    line(format!("  fingerprint {}", letter.fingerprint));
    if letter.redrive_generation > 0 {
        let previous = letter.previous_letter_id.map_or_else(String::new, |id| format!(", last as dead letter {id}"));
        line(format!("  redriven    {} before{previous}", text::count(letter.redrive_generation.into(), "time")));
    }
    if let Some(failed) = &letter.handler_failure {
        line(format!("  the dead-letter handler failed: {}", failed.summary(ERROR_WIDTH)));
    }
    line(format!("  attempts    {}", letter.attempts));
    out + &attempts::render(&letter.failed) + &attempts::render_event(&letter.event)
}
