use std::future::Future;
use tidegate_core::{Reply, Request, StoreError};

/// The store of the dispatcher. It has one function, with plain data as argument and result, so
/// that simulations can record, delay and repeat calls.
pub trait DispatchStore: Send + Sync + 'static {
    /// Performs `request` in one transaction. The reply is the variant with the name of the
    /// request.
    ///
    /// Calls may run at the same time. Dropping the future does not undo the request.
    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, StoreError>> + Send;
}
