//! Native handlers: Rust functions of the program that embeds Tidegate.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tidegate_core::{Cause, Delivery, NewEvent, Outcome, SyncReply, SyncTarget};
use tidegate_driver::{DispatcherEnded, SyncCaller};

type Run = Arc<dyn Fn(NativeContext) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Rust functions by name. A trigger with `native = "NAME"` runs the function with this name.
#[derive(Clone, Default)]
pub struct NativeHandlers {
    handlers: BTreeMap<String, Run>,
}

/// The delivery that a native handler executes, and the sync calls that it may make.
#[derive(Clone, Debug)]
pub struct NativeContext {
    pub delivery: Arc<Delivery>,
    caller: SyncCaller,
}

impl NativeContext {
    pub(crate) fn new(delivery: Arc<Delivery>, caller: SyncCaller) -> Self {
        Self { delivery, caller }
    }

    /// Makes a sync call as the principal that this execution acts as.
    ///
    /// The call is one deeper in the chain of events. Calls of handlers that call each other in a
    /// circle are refused at `max_trigger_depth`. The call needs a permit of its own while this
    /// execution holds one. If executions that wait for such calls hold all permits, each call is
    /// refused after `sync_wait_ms_max`.
    pub async fn call(&self, target: SyncTarget, event: NewEvent) -> Result<SyncReply, DispatcherEnded> {
        let cause = Cause::handling(&self.delivery.event, self.delivery.runs_as.clone());
        self.caller.call(target, event, cause).await
    }
}

impl NativeHandlers {
    /// Adds the function `handler` under `name`. It runs on the async runtime and must not block
    /// it. Its future is dropped at an await if the execution takes longer than the trigger's
    /// timeout.
    #[must_use]
    pub fn with<F, R>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Arc<Delivery>) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.with_context(name, move |context| handler(context.delivery))
    }

    /// Adds a function that may make sync calls. Otherwise like [`NativeHandlers::with`].
    #[must_use]
    pub fn with_context<F, R>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(NativeContext) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.handlers.insert(name.to_owned(), Arc::new(move |context| Box::pin(handler(context))));
        self
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.handlers.contains_key(name)
    }

    /// Begins an execution. `None` if no function has this name.
    pub(crate) fn run(
        &self,
        name: &str,
        context: NativeContext,
    ) -> Option<impl Future<Output = Outcome> + Send + use<>> {
        self.handlers.get(name).map(|handler| handler(context))
    }
}

impl fmt::Debug for NativeHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}
