//! `/metrics`, in the text format of Prometheus.

use super::extract::{NoQuery, Ready};
use axum::http::header;
use axum::response::IntoResponse;

pub(super) async fn get(Ready(services): Ready, _: NoQuery) -> impl IntoResponse {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], services.metrics.text().await)
}
