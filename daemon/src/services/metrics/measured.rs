//! Counts and measures the round trips of the dispatcher to the store.

use super::Metrics;
use super::names;
use metrics::{counter, histogram};
use std::sync::Arc;
use std::time::Instant;
use tidegate_core::{Reply, Request, StoreError};
use tidegate_ports::DispatchStore;

pub(crate) struct MeasuredStore<S> {
    pub(crate) store: Arc<S>,
    pub(crate) metrics: Metrics,
}

impl<S: DispatchStore> DispatchStore for MeasuredStore<S> {
    async fn call(&self, request: Request) -> Result<Reply, StoreError> {
        let (name, began) = (request.name(), Instant::now());
        let result = self.store.call(request).await;
        let took = began.elapsed().as_secs_f64();
        self.metrics.record(|| {
            let outcome = if result.is_ok() { "ok" } else { "failed" };
            counter!(names::STORE_REQUESTS, "request" => name, "result" => outcome).increment(1);
            histogram!(names::STORE_TOOK, "request" => name).record(took);
        });
        result
    }
}
