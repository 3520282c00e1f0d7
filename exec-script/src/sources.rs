//! The sources of scripts that were run lately, so that the store is asked once per version and each is compiled once.

use crate::bytecode::Compiled;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{AppName, ScriptName};
use tidegate_ports::{PortError, ScriptStore};

/// Scripts that are kept. More are asked for again.
const KEPT_MAX: usize = 1_000;

/// One version of a script.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) text: String,
    pub(crate) compiled: Compiled,
}

impl Source {
    pub(crate) fn new(name: String, version: i64, text: String) -> Self {
        Self { name, version, text, compiled: Compiled::new() }
    }
}

pub(crate) struct Sources {
    store: Arc<dyn ScriptStore>,
    kept: Mutex<BTreeMap<(AppName, ScriptName), Arc<Source>>>,
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
    ) -> Result<Option<Arc<Source>>, PortError> {
        let at = (app.clone(), name.clone());
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = lock().get(&at).filter(|source| version.is_some_and(|version| source.version >= version))
        {
            return Ok(Some(Arc::clone(source)));
        }
        let script = self.store.get(app, name).await?;
        let mut kept = lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let Some(script) = script else {
            kept.remove(&at);
            return Ok(None);
        };
        // Who asked at the same time may have it already, and compiled.
        if let Some(same) = kept.get(&at).filter(|source| source.version == script.version) {
            return Ok(Some(Arc::clone(same)));
        }
        let source = Arc::new(Source::new(script.name.to_string(), script.version, script.source));
        kept.insert(at, Arc::clone(&source));
        Ok(Some(source))
    }
}
