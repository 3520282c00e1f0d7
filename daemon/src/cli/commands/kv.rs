use super::super::args::{KvCommand, PageArgs};
use super::super::client::{Answer, Call, segment, segments};
use super::super::error::CliError;
use super::super::{output, text};
use super::{Context, json_argument};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use ureq::http::Method;

#[derive(Deserialize)]
struct Put {
    version: i64,
    deliveries: u64,
}

#[derive(Deserialize)]
struct List {
    entries: Vec<Entry>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    value: Box<RawValue>,
    version: i64,
    updated_at: String,
}

/// The width of a value in a table, in characters.
const VALUE_WIDTH: usize = 80;

pub(in super::super) fn run(context: &Context, command: KvCommand) -> Result<(), CliError> {
    match command {
        KvCommand::Get { path } => {
            let answer = call(context, Method::GET, &path, |call| call)?;
            let text = if context.json { entry(&path, &answer) } else { answer.body };
            output::print_json(&text).map_err(CliError::failed)
        }
        KvCommand::Put { path, value, if_version } => {
            let value = json_argument(&value)?;
            let answer =
                call(context, Method::PUT, &path, |call| guard(call.json(value.as_str().to_owned()), if_version))?;
            context.show(&answer.body, |put: &Put| {
                let deliveries = text::count(put.deliveries, "trigger");
                format!("{path} is at version {}; {deliveries} will run\n", put.version)
            })
        }
        KvCommand::Delete { path, if_version } => {
            call(context, Method::DELETE, &path, |call| guard(call, if_version))?;
            if context.json { Ok(()) } else { context.print(&format!("{path} is deleted\n")) }
        }
        KvCommand::List { path, page } => list(context, &path, page),
    }
}

/// The value of a key with its version, as JSON. The text of the value does not change.
fn entry(path: &str, answer: &Answer) -> String {
    let key = path.split_once('/').map_or(path, |(_, key)| key);
    let version = answer.header("etag").trim_matches('"');
    let updated_at = answer.header("tidegate-updated-at");
    format!(
        r#"{{"key":{},"value":{},"version":{version},"updated_at":{}}}"#,
        json!(key),
        answer.body,
        json!(updated_at)
    )
}

fn list(context: &Context, path: &str, page: PageArgs) -> Result<(), CliError> {
    let (collection, prefix) = path.split_once('/').unwrap_or((path, ""));
    let call = Call::get(context.target.path(&format!("/kv/{}", segment(collection)))?)
        .query("prefix", (!prefix.is_empty()).then_some(prefix))
        .query("limit", page.limit)
        .query("cursor", page.cursor);
    let answer = context.target.client.call(call)?;
    let mut cursor = None;
    context.show(&answer.body, |list: &List| {
        cursor.clone_from(&list.cursor);
        let row = |entry: &Entry| {
            let value = text::first_line(entry.value.get(), VALUE_WIDTH);
            vec![entry.key.clone(), entry.version.to_string(), text::age(&entry.updated_at, context.now), value]
        };
        let rows: Vec<_> = list.entries.iter().map(row).collect();
        if rows.is_empty() {
            format!("no values in {path}\n")
        } else {
            text::table(&["KEY", "VERSION", "UPDATED", "VALUE"], &rows)
        }
    })?;
    context.note_next_page(cursor.as_deref());
    Ok(())
}

fn call(context: &Context, method: Method, path: &str, add: impl FnOnce(Call) -> Call) -> Result<Answer, CliError> {
    let Some((collection, key)) =
        path.split_once('/').filter(|(collection, key)| !collection.is_empty() && !key.is_empty())
    else {
        return Err(CliError::usage(format!("{path:?} is not the path of a value"))
            .hint("write COLLECTION/KEY, such as orders/1"));
    };
    let path = context.target.path(&format!("/kv/{}/{}", segment(collection), segments(key)))?;
    context.target.client.call(add(Call::new(method, path)))
}

/// Adds the precondition. No value has version 0, so version 0 means "there is no value".
fn guard(call: Call, if_version: Option<i64>) -> Call {
    match if_version {
        None => call,
        Some(0) => call.header("if-none-match", Some("*".to_owned())),
        Some(version) => call.header("if-match", Some(format!("\"{version}\""))),
    }
}
