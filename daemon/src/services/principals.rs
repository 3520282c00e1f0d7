//! The current rights of the principals that requests and executions act as.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::{Principal, PrincipalId};
use tidegate_ports::{PortError, PrincipalRecord, PrincipalResolver, PrincipalStore};

/// The longest time for which a principal is cached. A change by another daemon takes effect within
/// this time.
const CACHE_AGE_MAX: Duration = Duration::from_secs(1);
/// The cache is cleared when it has this many principals.
const CACHE_MAX: usize = 10_000;

/// Resolves principals from the store, with a cache. `admin` and `system` are built in and have all
/// rights.
pub struct AdminPrincipalResolver {
    store: Arc<dyn PrincipalStore>,
    cache: Mutex<BTreeMap<PrincipalId, (Instant, Option<Principal>)>>,
}

impl fmt::Debug for AdminPrincipalResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPrincipalResolver").finish_non_exhaustive()
    }
}

impl AdminPrincipalResolver {
    #[must_use]
    pub fn new(store: Arc<dyn PrincipalStore>) -> Self {
        Self { store, cache: Mutex::default() }
    }

    /// Removes a principal from the cache. Call this after each change of the principal.
    pub fn forget(&self, id: &PrincipalId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PrincipalId, (Instant, Option<Principal>)>> {
        // A poisoned lock is usable: a panic cannot leave a partial entry in the cache.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PrincipalResolver for AdminPrincipalResolver {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        if matches!(id.as_str(), "admin" | "system") {
            return Ok(Some(Principal::admin(id.clone())));
        }
        if let Some((at, principal)) = self.lock().get(id)
            && at.elapsed() < CACHE_AGE_MAX
        {
            return Ok(principal.clone());
        }
        let requested_at = Instant::now();
        let found = self.store.get(id).await?.and_then(PrincipalRecord::active);
        let mut cache = self.lock();
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(id.clone(), (requested_at, found.clone()));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::Timestamp;
    use tidegate_io_sim::SharedMemory;
    use tidegate_ports::NewPrincipal;

    #[tokio::test]
    async fn a_change_by_this_daemon_has_effect_at_once_and_by_another_after_a_second() {
        let store = SharedMemory::new(|| Timestamp(1));
        let id = PrincipalId::new("user:ann").unwrap();
        let new = NewPrincipal { id: id.clone(), admin: false, monitor: false, password_hash: None };
        let resolver = AdminPrincipalResolver::new(Arc::new(store.clone()));
        let is_known = async || resolver.resolve(&id).await.unwrap().is_some();
        assert!(!is_known().await);
        store.add(&new).await.unwrap();
        assert!(!is_known().await, "the first answer is cached");
        resolver.forget(&id);
        assert!(is_known().await);
        store.set_disabled(&id, true).await.unwrap();
        assert!(is_known().await);
        tokio::time::sleep(CACHE_AGE_MAX + Duration::from_millis(50)).await;
        assert!(!is_known().await);
        let built_in = resolver.resolve(&PrincipalId::new("admin").unwrap()).await.unwrap();
        assert!(built_in.is_some_and(|admin| admin.admin));
    }
}
