use super::super::client::Call;
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use ureq::http::Method;

#[derive(Deserialize, Serialize)]
struct Batch {
    dry_run: bool,
    records: BTreeMap<String, u64>,
    more: bool,
}

/// Repeats batches until no old record is left. Each batch is one request, so that an interrupted
/// command keeps its progress.
pub(in super::super) fn run(context: &Context, dry_run: bool) -> Result<(), CliError> {
    let mut total = batch(context, dry_run)?;
    while total.more && !dry_run {
        let next = batch(context, false)?;
        for (kind, count) in next.records {
            *total.records.entry(kind).or_default() += count;
        }
        total.more = next.more;
        output::note(&format!("removed {} so far", text::count(total.records.values().sum(), "record")));
    }
    if context.json {
        return output::print_line(&json!(total).to_string()).map_err(CliError::failed);
    }
    let row = |(kind, count): (&String, &u64)| vec![kind.replace('_', " "), count.to_string()];
    let title = if dry_run { "OLD RECORDS" } else { "REMOVED" };
    context.print(&text::table(&["KIND", title], &total.records.iter().map(row).collect::<Vec<_>>()))?;
    if total.more {
        output::note("a dry run counts at most 100,000 records of each kind; there are more");
    }
    Ok(())
}

fn batch(context: &Context, dry_run: bool) -> Result<Batch, CliError> {
    let call = Call::new(Method::POST, "/v1/prune".to_owned()).json(json!({ "dry_run": dry_run }).to_string());
    let answer = context.target.client.call(call)?;
    serde_json::from_str(&answer.body).map_err(CliError::failed)
}
