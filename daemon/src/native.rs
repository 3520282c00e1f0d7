//! Native handlers: Rust functions of the program that embeds Tidegate.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tidegate_core::{Delivery, Outcome};

type Run = Arc<dyn Fn(Arc<Delivery>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Rust functions by the name that triggers call them by.
#[derive(Clone, Default)]
pub struct NativeHandlers {
    handlers: BTreeMap<String, Run>,
}

impl NativeHandlers {
    /// Adds the function `handler` under `name`. It runs on the async runtime, must not block it, and is dropped at
    /// some await when its delivery runs past its timeout.
    #[must_use]
    pub fn with<F, R>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(Arc<Delivery>) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        self.handlers.insert(name.to_owned(), Arc::new(move |delivery| Box::pin(handler(delivery))));
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
        delivery: Arc<Delivery>,
    ) -> Option<impl Future<Output = Outcome> + Send + use<>> {
        self.handlers.get(name).map(|handler| handler(delivery))
    }
}

impl fmt::Debug for NativeHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}
