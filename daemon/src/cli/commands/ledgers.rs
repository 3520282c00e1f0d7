use super::super::args::PageArgs;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::text;
use super::Context;
use serde::Deserialize;

#[derive(Deserialize)]
struct Loops {
    loops: Vec<LoopView>,
    more: bool,
}

#[derive(Deserialize)]
struct LoopView {
    trigger: String,
    root_id: String,
    count: u64,
    last_at: String,
}

#[derive(Deserialize)]
struct Abandoned {
    abandoned: Vec<AbandonedView>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct AbandonedView {
    delivery_id: i64,
    trigger: String,
    cause: String,
    outcome: Option<String>,
    status: Option<u16>,
    message: Option<String>,
    at: String,
}

pub(in super::super) fn loops(context: &Context, limit: Option<u32>) -> Result<(), CliError> {
    let call = Call::get(context.target.path("/loops")?).query("limit", limit);
    let answer = context.target.client.call(call)?;
    context.show(&answer.body, |list: &Loops| {
        if list.loops.is_empty() {
            return "no chain of triggers was cut\n".to_owned();
        }
        let row = |entry: &LoopView| {
            let age = text::age(&entry.last_at, context.now);
            vec![entry.trigger.clone(), entry.root_id.clone(), entry.count.to_string(), age]
        };
        let rows: Vec<_> = list.loops.iter().map(row).collect();
        let table = text::table(&["TRIGGER", "FIRST EVENT", "TIMES SKIPPED", "LAST"], &rows);
        if list.more { format!("{table}older chains are not shown; a higher --limit shows more\n") } else { table }
    })
}

pub(in super::super) fn abandoned(context: &Context, page: PageArgs) -> Result<(), CliError> {
    let call = Call::get(context.target.path("/abandoned")?).query("limit", page.limit).query("cursor", page.cursor);
    let answer = context.target.client.call(call)?;
    let mut cursor = None;
    context.show(&answer.body, |list: &Abandoned| {
        cursor.clone_from(&list.cursor);
        if list.abandoned.is_empty() {
            return "no abandoned executions\n".to_owned();
        }
        let row = |one: &AbandonedView| {
            vec![
                one.delivery_id.to_string(),
                one.trigger.clone(),
                one.cause.clone(),
                one.outcome.clone().unwrap_or_else(|| "unknown".to_owned()),
                one.status.map_or_else(String::new, |status| status.to_string()),
                text::age(&one.at, context.now),
                one.message.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = list.abandoned.iter().map(row).collect();
        text::table(&["ID", "TRIGGER", "CAUSE", "OUTCOME", "STATUS", "WHEN", "MESSAGE"], &rows)
    })?;
    context.note_next_page(cursor.as_deref());
    Ok(())
}
