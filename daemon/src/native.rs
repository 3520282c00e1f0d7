//! Native handlers: Rust functions of the program that embeds Tidegate.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tidegate_core::{Cause, Delivery, NewEvent, Outcome, SyncReply, SyncTarget};
use tidegate_driver::{DispatcherEnded, SyncCaller};

type Run = Arc<dyn Fn(NativeContext) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Rust functions by the name that triggers call them by.
#[derive(Clone, Default)]
pub struct NativeHandlers {
    handlers: BTreeMap<String, Run>,
}

/// What a native handler may do beyond answering.
#[derive(Clone, Debug)]
pub struct NativeContext {
    /// What it is executed for.
    pub delivery: Arc<Delivery>,
    caller: SyncCaller,
}

impl NativeContext {
    pub(crate) fn new(delivery: Arc<Delivery>, caller: SyncCaller) -> Self {
        Self { delivery, caller }
    }

    /// Makes a sync call as the principal that this execution acts as. The call is one deeper in the chain of events, so
    /// handlers that call each other in a circle are refused in the end; and it needs a permit while this execution holds
    /// one, so a gate full of callers that wait for callees refuses them when their time is up.
    pub async fn call(&self, target: SyncTarget, event: NewEvent) -> Result<SyncReply, DispatcherEnded> {
        let cause = Cause::handling(&self.delivery.event, self.delivery.runs_as.clone());
        self.caller.call(target, event, cause).await
    }
}

impl NativeHandlers {
    /// Adds the function `handler` under `name`. It runs on the async runtime, must not block it, and is dropped at
    /// some await when its delivery runs past its timeout.
    #[must_use]
    pub fn with<F, R>(self, name: &str, handler: F) -> Self
    where
        F: Fn(Arc<Delivery>) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.with_context(name, move |context| handler(context.delivery))
    }

    /// The same for a function that makes calls itself.
    #[must_use]
    pub fn with_context<F, R>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(NativeContext) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.handlers.insert(name.to_owned(), Arc::new(move |context| Box::pin(handler(context))));
        self
    }

    /// Whether there is a function of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.handlers.contains_key(name)
    }

    /// Begins an execution, if there is a function of this name.
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
