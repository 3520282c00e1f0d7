//! `…/dead-letters`: lists and shows dead letters.

use super::extract::{Filter, Params, Plain, Ready, name, row_number, search_text};
use super::paging::{self, Limit};
use super::problem::Problem;
use super::view::{DeadLetterView, DeadLetters};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_core::{AppName, DeadLetterId, DeadReason};
use tidegate_ports::{DeadLetterFilter, Resolution};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    trigger: Option<String>,
    fingerprint: Option<String>,
    reason: Option<DeadReason>,
    resolution: Option<Resolution>,
    #[serde(default)]
    open: bool,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    Ready(services): Ready,
    Params(app): Params<String>,
    Filter(query): Filter<Query>,
) -> Result<Response, Problem> {
    let app: AppName = name(app)?;
    let limit = Limit::new(query.limit)?;
    let filter = DeadLetterFilter {
        trigger: query.trigger.map(name).transpose()?,
        fingerprint: query.fingerprint.map(|text| search_text("fingerprint", text)).transpose()?,
        reason: query.reason,
        resolution: query.resolution,
        open_only: query.open,
        before: paging::row(query.cursor.as_deref())?.map(DeadLetterId),
        size: limit.size(),
    };
    let found = services.dead_letters.list(&app, &filter).await.map_err(|error| Problem::in_app(&app, error))?;
    let cursor = paging::next(&found, |row| row.id.to_string());
    Ok(Json(DeadLetters { dead_letters: found.items.iter().map(DeadLetterView::from).collect(), cursor })
        .into_response())
}

pub(super) async fn get(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Response, Problem> {
    let (app, id): (AppName, _) = (name(app)?, row_number(&id)?);
    let found =
        services.dead_letters.get(&app, DeadLetterId(id)).await.map_err(|error| Problem::in_app(&app, error))?;
    let missing = || Problem::missing("dead_letter_not_found", format!("there is no dead letter {id} in {app}"));
    found.as_ref().map(|found| Json(DeadLetterView::from(found)).into_response()).ok_or_else(missing)
}
