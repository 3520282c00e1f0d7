//! `…/dead-letters`: what will not be tried again by itself.

use super::extract::{Filter, Params, cursor, name, page_limit};
use super::problem::Problem;
use super::view::{DeadLetterView, DeadLetters};
use crate::server::Services;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_core::{AppName, DeadLetterId};
use tidegate_driver::DeadLetterFilter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    trigger: Option<String>,
    fingerprint: Option<String>,
    #[serde(default)]
    open: bool,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    services: Services,
    Params(app): Params<String>,
    Filter(query): Filter<Query>,
) -> Result<Response, Problem> {
    let app: AppName = name(app)?;
    let filter = DeadLetterFilter {
        trigger: query.trigger.map(name).transpose()?,
        fingerprint: query.fingerprint,
        open_only: query.open,
        before: cursor(query.cursor.as_deref())?.map(DeadLetterId),
        limit: page_limit(query.limit)?,
    };
    let found = services.dead_letters.list(&app, &filter).await.map_err(|error| Problem::port(&app, error))?;
    let next = found.last().filter(|_| found.len() == filter.limit as usize).map(|last| last.id.to_string());
    let dead_letters = found.iter().map(DeadLetterView::from).collect();
    Ok(Json(DeadLetters { dead_letters, cursor: next }).into_response())
}

pub(super) async fn get(services: Services, Params((app, id)): Params<(String, i64)>) -> Result<Response, Problem> {
    let app: AppName = name(app)?;
    let found = services.dead_letters.get(&app, DeadLetterId(id)).await.map_err(|error| Problem::port(&app, error))?;
    let missing = || Problem::missing("dead_letter_not_found", format!("there is no dead letter {id} in {app}"));
    found.as_ref().map(|found| Json(DeadLetterView::from(found)).into_response()).ok_or_else(missing)
}
