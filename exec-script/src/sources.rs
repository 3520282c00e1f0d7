//! The sources of scripts that were run lately, so that the store is asked once per version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{AppName, ScriptName};
use tidegate_driver::{PortError, Script, ScriptStore};

/// Scripts that are kept. More are asked for again.
const KEPT_MAX: usize = 1_000;

pub(crate) struct Sources {
    store: Arc<dyn ScriptStore>,
    kept: Mutex<BTreeMap<(AppName, ScriptName), Arc<Script>>>,
}

impl Sources {
    pub(crate) fn new(store: Arc<dyn ScriptStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// The script in at least this version: if it was changed since the claim, the newest one.
    pub(crate) async fn get(
        &self,
        app: &AppName,
        name: &ScriptName,
        version: Option<i64>,
    ) -> Result<Option<Arc<Script>>, PortError> {
        let at = (app.clone(), name.clone());
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(script) = lock().get(&at).filter(|script| version.is_some_and(|version| script.version >= version))
        {
            return Ok(Some(Arc::clone(script)));
        }
        let script = self.store.get(app, name).await?.map(Arc::new);
        let mut kept = lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        match &script {
            Some(script) => kept.insert(at, Arc::clone(script)),
            None => kept.remove(&at),
        };
        Ok(script)
    }
}
