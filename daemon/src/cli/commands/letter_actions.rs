use super::super::args::LettersArgs;
use super::super::client::Call;
use super::super::error::CliError;
use super::super::{output, text};
use super::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use ureq::http::Method;

/// The dead letters of one request. Small batches show progress. After a lost connection the
/// finished batches are kept, and the same command handles the rest.
const BATCH_MAX: u32 = 1_000;

#[derive(Default, Deserialize)]
struct Report {
    matched: u64,
    #[serde(alias = "redriven", alias = "discarded")]
    done: u64,
    skipped: u64,
    cursor: Option<String>,
    /// The letters that were left out because they are resolved, by resolution.
    #[serde(default)]
    resolved: BTreeMap<String, u64>,
}

/// `tidegate dead-letters redrive` and `… discard`. `done` is the participle of the action, for
/// messages.
pub(super) fn run(context: &Context, action: &str, done: &str, args: LettersArgs) -> Result<(), CliError> {
    let path = context.target.path(&format!("/dead-letters/{action}"))?;
    let dry_run = args.dry_run;
    let mut body = body(args);
    let mut total = Report::default();
    let shows_progress = !dry_run && std::io::stderr().is_terminal();
    loop {
        let call = Call::new(Method::POST, path.clone()).json(body.to_string());
        let answer = context.target.client.call(call)?;
        let report: Report = serde_json::from_str(&answer.body).map_err(CliError::failed)?;
        total.matched += report.matched;
        total.done += report.done;
        total.skipped += report.skipped;
        total.resolved.extend(report.resolved);
        let Some(cursor) = report.cursor else { break };
        body["cursor"] = json!(cursor);
        if shows_progress {
            write!(std::io::stderr(), "\r{} {done} …", total.done).map_err(CliError::failed)?;
        }
    }
    if shows_progress && total.done >= u64::from(BATCH_MAX) {
        output::note("");
    }
    let Report { matched, done: count, skipped, resolved, .. } = total;
    if context.json {
        let report =
            json!({ "matched": matched, done: count, "skipped": skipped, "dry_run": dry_run, "resolved": resolved });
        return output::print_json(&report.to_string()).map_err(CliError::failed);
    }
    let mut summary = if dry_run {
        format!("{} would be {done}", text::count(matched - skipped, "letter"))
    } else {
        format!("{} {done}", text::count(count, "letter"))
    };
    if skipped > 0 {
        summary.push_str(&format!("; {skipped} skipped, because their triggers are deleted"));
    }
    context.print(&format!("{summary}\n"))?;
    for (resolution, count) in resolved {
        let letters = text::count(count, "letter");
        output::note(&format!(
            "{letters} with the resolution {resolution} left out; --resolution {resolution} selects them"
        ));
    }
    Ok(())
}

fn body(args: LettersArgs) -> Value {
    let mut body = json!({ "dry_run": args.dry_run, "limit": BATCH_MAX });
    if args.all {
        body["all"] = json!(true);
    } else if !args.ids.is_empty() {
        body["ids"] = json!(args.ids);
    } else {
        let fields = [
            ("trigger", args.trigger),
            ("fingerprint", args.fingerprint),
            ("reason", args.reason),
            ("resolution", args.resolution),
            ("created_from", args.from),
            ("created_before", args.before),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        body["filter"] = Value::Object(given.collect());
    }
    body
}
