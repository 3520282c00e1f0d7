//! `POST …/dead-letters/redrive` and `…/discard`: of letters by their ids, by a filter, or of all that are open.

use super::extract::{Params, Plain, Ready, Text, name, number, object, searched};
use super::paging;
use super::problem::Problem;
use crate::services::Services;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_core::{AppName, DeadLetterId, DeadReason, Timestamp};
use tidegate_ports::{LetterBatch, LetterSelection, Resolution};

/// Letters of one transaction. A request for more is many of them: each is applied whole, and a request that ends in the
/// middle is finished by repeating it.
const BATCH: u32 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    ids: Option<Vec<i64>>,
    filter: Option<Filter>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    dry_run: bool,
    /// Where a request with a `limit` ended.
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
    const fn done(self) -> &'static str {
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
    many(&services, Action::Redrive, &name(app)?, &body).await
}

pub(super) async fn discard(
    Ready(services): Ready,
    _: Plain,
    Params(app): Params<String>,
    Text(body): Text,
) -> Result<Json<Value>, Problem> {
    many(&services, Action::Discard, &name(app)?, &body).await
}

pub(super) async fn redrive_one(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Json<Value>, Problem> {
    one(&services, Action::Redrive, &name(app)?, DeadLetterId(number(&id)?)).await
}

pub(super) async fn discard_one(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Json<Value>, Problem> {
    one(&services, Action::Discard, &name(app)?, DeadLetterId(number(&id)?)).await
}

async fn many(services: &Services, action: Action, app: &AppName, body: &str) -> Result<Json<Value>, Problem> {
    let asked: Asked = object(body, "what to do about dead letters")?;
    let (dry_run, limit) = (asked.dry_run, asked.limit);
    let mut selection = selection(asked)?;
    if dry_run {
        let store = &services.dead_letters;
        let mut found = store.count(app, &selection).await.map_err(|error| Problem::port(app, error))?;
        if action == Action::Discard {
            found.skipped = 0;
        }
        return Ok(report(action, &found, None, true));
    }
    let mut total = LetterBatch::default();
    let mut left = limit.unwrap_or(u32::MAX);
    loop {
        selection.limit = left.min(BATCH);
        let batch = act(services, action, app, &selection).await?;
        total.matched += batch.matched;
        total.skipped += batch.skipped;
        left = left.saturating_sub(u32::try_from(batch.matched).unwrap_or(u32::MAX));
        if batch.matched < u64::from(selection.limit) {
            return Ok(report(action, &total, None, false));
        }
        selection.after = batch.last;
        if left == 0 {
            return Ok(report(action, &total, batch.last, false));
        }
    }
}

/// A letter that is not there, or of which nothing can be made, is told from one that is done.
async fn one(services: &Services, action: Action, app: &AppName, id: DeadLetterId) -> Result<Json<Value>, Problem> {
    let store = &services.dead_letters;
    let letter = store.get(app, id).await.map_err(|error| Problem::port(app, error))?;
    let missing = || Problem::missing("dead_letter_not_found", format!("there is no dead letter {id} in {app}"));
    let letter = letter.ok_or_else(missing)?;
    let selection = LetterSelection { ids: Some(vec![id]), limit: 1, ..LetterSelection::default() };
    let batch = act(services, action, app, &selection).await?;
    if batch.matched == 0 {
        let detail = format!("dead letter {id} is redriven already; nothing was changed");
        return Err(Problem::new(StatusCode::CONFLICT, "already_redriven", detail));
    }
    if batch.skipped > 0 {
        let detail = format!("the trigger {} of dead letter {id} is deleted; nothing was changed", letter.trigger);
        return Err(Problem::new(StatusCode::CONFLICT, "trigger_deleted", detail));
    }
    Ok(report(action, &batch, None, false))
}

async fn act(
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
    let batch = batch.map_err(|error| Problem::port(app, error))?;
    services.wake.wake(batch.woken_lanes.iter().copied());
    Ok(batch)
}

fn report(action: Action, batch: &LetterBatch, cursor: Option<DeadLetterId>, dry_run: bool) -> Json<Value> {
    let done = if dry_run { 0 } else { batch.matched - batch.skipped };
    Json(json!({
        "matched": batch.matched,
        action.done(): done,
        "skipped": batch.skipped,
        "dry_run": dry_run,
        "cursor": cursor.map(|cursor| cursor.to_string()),
    }))
}

fn selection(asked: Asked) -> Result<LetterSelection, Problem> {
    let Asked { ids, filter, all, cursor, limit, .. } = asked;
    if limit == Some(0) {
        return Err(Problem::invalid("limit must be at least 1"));
    }
    let after = paging::row(cursor.as_deref())?.map(DeadLetterId);
    let base = LetterSelection { after, limit: BATCH, ..LetterSelection::default() };
    match (ids, filter, all) {
        (Some(ids), None, false) if ids.len() <= 10_000 => {
            Ok(LetterSelection { ids: Some(ids.into_iter().map(DeadLetterId).collect()), ..base })
        }
        (Some(_), None, false) => Err(Problem::invalid("ids must be at most 10,000")),
        (None, Some(filter), false) => filtered(filter, base),
        (None, None, true) => Ok(base),
        _ => Err(Problem::invalid("say which letters by one of \"ids\", \"filter\" and \"all\": true")),
    }
}

fn filtered(filter: Filter, base: LetterSelection) -> Result<LetterSelection, Problem> {
    let Filter { trigger, fingerprint, reason, resolution, created_from, created_before } = filter;
    let is_empty = trigger.is_none() && fingerprint.is_none() && reason.is_none() && resolution.is_none();
    if is_empty && created_from.is_none() && created_before.is_none() {
        return Err(Problem::invalid("an empty filter would be all letters; say \"all\": true"));
    }
    if resolution == Some(Resolution::Redriven) {
        return Err(Problem::invalid("a letter that is redriven already is not redriven or discarded again"));
    }
    Ok(LetterSelection {
        trigger: trigger.map(name).transpose()?,
        fingerprint: fingerprint.map(|text| searched("fingerprint", text)).transpose()?,
        reason,
        resolution,
        created_from: time("created_from", created_from)?,
        created_before: time("created_before", created_before)?,
        ..base
    })
}

fn time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let read = |text: String| {
        let wrong =
            || Problem::invalid(format!("{field} {text:?} is no time in RFC 3339, such as 2026-01-31T12:00:00Z"));
        Timestamp::from_rfc3339(&text).ok_or_else(wrong)
    };
    text.map(read).transpose()
}
