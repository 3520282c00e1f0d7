//! `POST …/dead-letters/redrive` and `…/discard`.
//!
//! A request selects dead letters by their ids, by a filter, or all that are open.

use super::extract::{Params, Plain, Ready, Text, name, row_number, search_text};
use super::json::object;
use super::paging;
use super::problem::Problem;
use crate::services::Services;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidegate_core::{AppName, DeadLetterId, DeadReason, Timestamp};
use tidegate_ports::{LetterBatch, LetterSelection, Resolution};

const IDS_MAX: usize = 10_000;

/// The most ids in a message about missing dead letters.
const MISSING_MAX: usize = 20;

/// The most dead letters of one transaction.
///
/// A request for more letters makes several transactions. If it fails between two of them, the
/// client repeats the request to finish it.
const BATCH_MAX: u32 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionSpec {
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    dry_run: bool,
    /// The cursor that an earlier request with a `limit` returned.
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    trigger: Option<String>,
    fingerprint: Option<String>,
    reason: Option<DeadReason>,
    resolution: Option<Resolution>,
    created_from: Option<String>,
    created_before: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Redrive,
    Discard,
}

impl Action {
    const fn result_field(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Discard => "discarded",
        }
    }
}

pub(super) async fn redrive(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    act_on_selection(&services, Action::Redrive, &name(app)?, &body).await
}

pub(super) async fn discard(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    act_on_selection(&services, Action::Discard, &name(app)?, &body).await
}

pub(super) async fn redrive_one(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Json<Value>, Problem> {
    act_on_one(&services, Action::Redrive, &name(app)?, DeadLetterId(row_number(&id)?)).await
}

pub(super) async fn discard_one(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Json<Value>, Problem> {
    act_on_one(&services, Action::Discard, &name(app)?, DeadLetterId(row_number(&id)?)).await
}

async fn act_on_selection(
    services: &Services,
    action: Action,
    app: &AppName,
    body: &str,
) -> Result<Json<Value>, Problem> {
    let spec: ActionSpec = object(body, "a request about dead letters")?;
    let (dry_run, limit) = (spec.dry_run, spec.limit);
    let mut selection = selection(spec)?;
    if selection.after.is_none() {
        refuse_missing_ids(services, app, &selection).await?;
    }
    if dry_run {
        let store = &services.dead_letters;
        let mut found = store.count(app, &selection).await.map_err(|error| Problem::in_app(app, error))?;
        if action == Action::Discard {
            found.skipped = 0;
        }
        let mut report = report(action, &found, None, true);
        if found.matched == 0 {
            report["resolved"] = resolved(services, app, &selection).await?;
        }
        return Ok(report);
    }
    let mut total = LetterBatch::default();
    let mut remaining = limit.unwrap_or(u32::MAX);
    loop {
        selection.limit = remaining.min(BATCH_MAX);
        let batch = run_batch(services, action, app, &selection).await?;
        total.matched += batch.matched;
        total.skipped += batch.skipped;
        remaining = remaining.saturating_sub(u32::try_from(batch.matched).unwrap_or(u32::MAX));
        if batch.matched < u64::from(selection.limit) {
            let mut report = report(action, &total, None, false);
            if total.matched == 0 && selection.after.is_none() {
                report["resolved"] = resolved(services, app, &selection).await?;
            }
            return Ok(report);
        }
        selection.after = batch.last;
        if remaining == 0 {
            return Ok(report(action, &total, batch.last, false));
        }
    }
}

/// The letters that a selection of open letters leaves out, because a handler has resolved them. An
/// empty object for a selection by ids or by a resolution.
async fn resolved(services: &Services, app: &AppName, selection: &LetterSelection) -> Result<Value, Problem> {
    let mut counts = json!({});
    if selection.ids.is_some() || selection.resolution.is_some() {
        return Ok(counts);
    }
    for resolution in [Resolution::Handled, Resolution::HandlerFailed, Resolution::Discarded] {
        let selection = LetterSelection { resolution: Some(resolution), ..selection.clone() };
        let found = services.dead_letters.count(app, &selection).await.map_err(|error| Problem::in_app(app, error))?;
        if found.matched > 0 {
            counts[resolution.as_str()] = json!(found.matched);
        }
    }
    Ok(counts)
}

/// Refuses a request for ids of letters that do not exist, and names the first of them.
async fn refuse_missing_ids(services: &Services, app: &AppName, selection: &LetterSelection) -> Result<(), Problem> {
    let Some(ids) = &selection.ids else { return Ok(()) };
    let ids: BTreeSet<DeadLetterId> = ids.iter().copied().collect();
    let store = &services.dead_letters;
    let found = store.count(app, selection).await.map_err(|error| Problem::in_app(app, error))?;
    if found.matched == ids.len() as u64 {
        return Ok(());
    }
    // A letter that was redriven exists, but is not counted.
    let mut missing = Vec::new();
    for id in ids {
        if store.get(app, id).await.map_err(|error| Problem::in_app(app, error))?.is_none() {
            missing.push(id.to_string());
        }
        if missing.len() > MISSING_MAX {
            missing[MISSING_MAX] = "…".to_owned();
            break;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("{app} has no dead letters with the ids {}; nothing was changed", missing.join(", "));
    Err(Problem::missing("dead_letter_not_found", detail))
}

/// Unlike a request for many letters, this fails if the letter does not exist or cannot be changed.
async fn act_on_one(
    services: &Services,
    action: Action,
    app: &AppName,
    id: DeadLetterId,
) -> Result<Json<Value>, Problem> {
    let store = &services.dead_letters;
    let letter = store.get(app, id).await.map_err(|error| Problem::in_app(app, error))?;
    let missing = || Problem::missing("dead_letter_not_found", format!("there is no dead letter {id} in {app}"));
    let letter = letter.ok_or_else(missing)?;
    let selection = LetterSelection { ids: Some(vec![id]), limit: 1, ..LetterSelection::default() };
    let batch = run_batch(services, action, app, &selection).await?;
    if batch.matched == 0 {
        let detail = format!("dead letter {id} was redriven already; nothing was changed");
        return Err(Problem::new(StatusCode::CONFLICT, "already_redriven", detail));
    }
    if batch.skipped > 0 {
        let detail = format!("the trigger {} of dead letter {id} was deleted; nothing was changed", letter.trigger);
        return Err(Problem::new(StatusCode::CONFLICT, "trigger_deleted", detail));
    }
    Ok(report(action, &batch, None, false))
}

async fn run_batch(
    services: &Services,
    action: Action,
    app: &AppName,
    selection: &LetterSelection,
) -> Result<LetterBatch, Problem> {
    let store = &services.dead_letters;
    let batch = match action {
        Action::Redrive => store.redrive(app, selection).await,
        Action::Discard => store.discard(app, selection).await,
    };
    let batch = batch.map_err(|error| Problem::in_app(app, error))?;
    services.wake.wake(batch.woken_lanes.iter().copied());
    Ok(batch)
}

fn report(action: Action, batch: &LetterBatch, cursor: Option<DeadLetterId>, dry_run: bool) -> Json<Value> {
    let done = if dry_run { 0 } else { batch.matched - batch.skipped };
    Json(json!({
        "matched": batch.matched,
        action.result_field(): done,
        "skipped": batch.skipped,
        "dry_run": dry_run,
        "cursor": cursor.map(|cursor| cursor.to_string()),
    }))
}

fn selection(spec: ActionSpec) -> Result<LetterSelection, Problem> {
    let ActionSpec { ids, filter, all, cursor, limit, .. } = spec;
    if limit == Some(0) {
        return Err(Problem::invalid("limit must be at least 1"));
    }
    let after = paging::row(cursor.as_deref())?.map(DeadLetterId);
    let base = LetterSelection { after, limit: BATCH_MAX, ..LetterSelection::default() };
    match (ids, filter, all) {
        (Some(ids), None, false) if ids.len() <= IDS_MAX => {
            Ok(LetterSelection { ids: Some(ids.into_iter().map(DeadLetterId).collect()), ..base })
        }
        (Some(ids), None, false) => {
            Err(Problem::invalid(format!("\"ids\" may have at most {IDS_MAX} ids, but has {}", ids.len())))
        }
        (None, Some(filter), false) => selection_by_filter(filter, base),
        (None, None, true) => Ok(base),
        _ => Err(Problem::invalid("select the dead letters by exactly one of \"ids\", \"filter\" and \"all\": true")),
    }
}

fn selection_by_filter(filter: Filter, base: LetterSelection) -> Result<LetterSelection, Problem> {
    let Filter { trigger, fingerprint, reason, resolution, created_from, created_before } = filter;
    let is_empty = trigger.is_none() && fingerprint.is_none() && reason.is_none() && resolution.is_none();
    if is_empty && created_from.is_none() && created_before.is_none() {
        return Err(Problem::invalid("an empty filter would select all dead letters; send \"all\": true instead"));
    }
    if resolution == Some(Resolution::Redriven) {
        return Err(Problem::invalid(
            "dead letters that were redriven cannot be redriven or discarded again; filter by another \"resolution\"",
        ));
    }
    Ok(LetterSelection {
        trigger: trigger.map(name).transpose()?,
        fingerprint: fingerprint.map(|text| search_text("fingerprint", text)).transpose()?,
        reason,
        resolution,
        created_from: time("created_from", created_from)?,
        created_before: time("created_before", created_before)?,
        ..base
    })
}

fn time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let read = |text: String| {
        let invalid =
            || Problem::invalid(format!("{field} {text:?} is not a time in RFC 3339, such as 2026-01-31T12:00:00Z"));
        Timestamp::from_rfc3339(&text).ok_or_else(invalid)
    };
    text.map(read).transpose()
}
