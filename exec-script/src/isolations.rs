//! What triggers say of isolation, so that the store is asked once per version of a trigger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{Delivery, Isolation, TriggerId};
use tidegate_ports::TriggerStore;

/// Triggers that are kept. More are asked for again.
const KEPT_MAX: usize = 10_000;

pub(crate) struct Isolations {
    store: Arc<dyn TriggerStore>,
    kept: Mutex<BTreeMap<TriggerId, (i64, Isolation)>>,
}

impl Isolations {
    pub(crate) fn new(store: Arc<dyn TriggerStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// What the delivery's trigger asks for in at least the version of its claim. A script may always start anew, so
    /// that is what it does while the store does not answer.
    pub(crate) async fn of(&self, delivery: &Delivery) -> Isolation {
        let (id, version) = (delivery.trigger_id, delivery.trigger_version);
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, isolation)) = lock().get(&id).filter(|(kept, _)| *kept >= version) {
            return *isolation;
        }
        let said = match self.store.get(&delivery.event.app, &delivery.trigger_name).await {
            Ok(Some(trigger)) if trigger.id == id => (trigger.version, trigger.spec.isolation),
            // The lane of an app's invocations is nobody's trigger and in no list.
            Ok(_) => (version, Isolation::default()),
            Err(error) => {
                tracing::warn!(trigger = %delivery.trigger_name, %error, "the trigger could not be read; its script starts anew");
                return Isolation::Fresh;
            }
        };
        let mut kept = lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(id, said);
        said.1
    }
}
