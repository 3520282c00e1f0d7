//! `…/deliveries`: lists and shows deliveries that are waiting or running.

use super::extract::{Filter, Params, Plain, Ready, name, row_number};
use super::paging::{self, Limit};
use super::problem::Problem;
use super::view::{Deliveries, DeliveryView};
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidegate_core::{AppName, DeliveryId};
use tidegate_ports::{DeliveryFilter, DeliveryState};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    trigger: Option<String>,
    state: Option<DeliveryState>,
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
    let filter = DeliveryFilter {
        trigger: query.trigger.map(name).transpose()?,
        state: query.state,
        after: paging::row(query.cursor.as_deref())?.map(DeliveryId),
        size: limit.size(),
    };
    let found = services.deliveries.list(&app, &filter).await.map_err(|error| Problem::in_app(&app, error))?;
    let cursor = paging::next(&found, |row| row.id.to_string());
    Ok(Json(Deliveries { deliveries: found.items.iter().map(DeliveryView::from).collect(), cursor }).into_response())
}

pub(super) async fn get(
    Ready(services): Ready,
    _: Plain,
    Params((app, id)): Params<(String, String)>,
) -> Result<Response, Problem> {
    let (app, id): (AppName, _) = (name(app)?, row_number(&id)?);
    let found = services.deliveries.get(&app, DeliveryId(id)).await.map_err(|error| Problem::in_app(&app, error))?;
    let missing = || Problem::missing("delivery_not_found", format!("no delivery {id} is waiting or running in {app}"));
    found.as_ref().map(|found| Json(DeliveryView::from(found)).into_response()).ok_or_else(missing)
}
