//! Caches the sources of scripts, so that the store is read once per version, and each version is
//! compiled once.

use crate::bytecode::Compiled;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{AppName, ScriptName};
use tidegate_ports::{PortError, ScriptStore};

/// The most scripts in the cache. The cache is cleared when it is full.
const CACHED_MAX: usize = 1_000;

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
    cached: Mutex<BTreeMap<(AppName, ScriptName), Arc<Source>>>,
}

impl Sources {
    pub(crate) fn new(store: Arc<dyn ScriptStore>) -> Self {
        Self { store, cached: Mutex::default() }
    }

    /// The script in this version or a later one. If it was changed after the claim, that is the
    /// newest version.
    pub(crate) async fn get(
        &self,
        app: &AppName,
        name: &ScriptName,
        version: Option<i64>,
    ) -> Result<Option<Arc<Source>>, PortError> {
        let at = (app.clone(), name.clone());
        let lock = || self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = lock().get(&at).filter(|source| version.is_some_and(|version| source.version >= version))
        {
            return Ok(Some(Arc::clone(source)));
        }
        let script = self.store.get(app, name).await?;
        let mut cached = lock();
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        let Some(script) = script else {
            cached.remove(&at);
            return Ok(None);
        };
        // Another execution may have inserted this version in the meantime, and compiled it.
        if let Some(same) = cached.get(&at).filter(|source| source.version == script.version) {
            return Ok(Some(Arc::clone(same)));
        }
        let source = Arc::new(Source::new(script.name.to_string(), script.version, script.source));
        cached.insert(at, Arc::clone(&source));
        Ok(Some(source))
    }
}
