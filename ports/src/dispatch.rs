use std::future::Future;
use tidegate_core::{Reply, Request, StoreError};

/// The dispatcher's store: the one hot port, and therefore one function over data.
pub trait DispatchStore: Send + Sync + 'static {
    /// Performs `request` in one transaction. The reply's variant is the request's.
    ///
    /// Calls may run at the same time. A dropped future does not undo what it asked for.
    fn call(&self, request: Request) -> impl Future<Output = Result<Reply, StoreError>> + Send;
}
