//! `…/deliveries`: what waits or runs.

use super::extract::{Filter, Params, cursor, name, page_limit};
use super::problem::Problem;
use super::view::{Deliveries, DeliveryView};
use crate::server::Services;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_core::{AppName, DeliveryId};
use tidegate_driver::{DeliveryFilter, DeliveryState};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    trigger: Option<String>,
    state: Option<DeliveryState>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    services: Services,
    Params(app): Params<String>,
    Filter(query): Filter<Query>,
) -> Result<Response, Problem> {
    let app: AppName = name(app)?;
    let filter = DeliveryFilter {
        trigger: query.trigger.map(name).transpose()?,
        state: query.state,
        after: cursor(query.cursor.as_deref())?.map(DeliveryId),
        limit: page_limit(query.limit)?,
    };
    let found = services.deliveries.list(&app, &filter).await.map_err(|error| Problem::port(&app, error))?;
    let next = found.last().filter(|_| found.len() == filter.limit as usize).map(|last| last.id.to_string());
    let deliveries = found.iter().map(DeliveryView::from).collect();
    Ok(Json(Deliveries { deliveries, cursor: next }).into_response())
}

pub(super) async fn get(services: Services, Params((app, id)): Params<(String, i64)>) -> Result<Response, Problem> {
    let app: AppName = name(app)?;
    let found = services.deliveries.get(&app, DeliveryId(id)).await.map_err(|error| Problem::port(&app, error))?;
    let missing = || Problem::missing("delivery_not_found", format!("no delivery {id} waits or runs in {app}"));
    found.as_ref().map(|found| Json(DeliveryView::from(found)).into_response()).ok_or_else(missing)
}
