//! Caches the `isolation` setting of triggers, so that the store is read once per version of a
//! trigger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{Delivery, Isolation, TriggerId};
use tidegate_ports::TriggerStore;

/// The most triggers in the cache. The cache is cleared when it is full.
const CACHED_MAX: usize = 10_000;

pub(crate) struct Isolations {
    store: Arc<dyn TriggerStore>,
    cached: Mutex<BTreeMap<TriggerId, (i64, Isolation)>>,
}

impl Isolations {
    pub(crate) fn new(store: Arc<dyn TriggerStore>) -> Self {
        Self { store, cached: Mutex::default() }
    }

    /// The isolation of the delivery's trigger, in the version of the claim or a later one. If the
    /// store cannot be read, the execution starts fresh, which is always allowed.
    pub(crate) async fn of(&self, delivery: &Delivery) -> Isolation {
        let (id, version) = (delivery.trigger_id, delivery.trigger_version);
        let lock = || self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, isolation)) = lock().get(&id).filter(|(cached, _)| *cached >= version) {
            return *isolation;
        }
        let setting = match self.store.get(&delivery.event.app, &delivery.trigger_name).await {
            Ok(Some(trigger)) if trigger.id == id => (trigger.version, trigger.spec.isolation),
            // The lane of an app's invocations belongs to no trigger that the store returns.
            Ok(_) => (version, Isolation::default()),
            Err(error) => {
                tracing::warn!(trigger = %delivery.trigger_name, %error, "could not read the trigger; its script runs in a fresh isolate");
                return Isolation::Fresh;
            }
        };
        let mut cached = lock();
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(id, setting);
        setting.1
    }
}
