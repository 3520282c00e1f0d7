//! Who an execution or a caller is, as the store knows it now.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::{Principal, PrincipalId};
use tidegate_ports::{PortError, PrincipalRecord, PrincipalResolver, PrincipalStore};

/// How old an answer may be: what another daemon changes is known here after this.
const FRESH: Duration = Duration::from_secs(1);
/// More principals than this are forgotten and asked for again.
const KNOWN_MAX: usize = 10_000;

/// Resolves principals by the store's administration. `admin` and `system` are built in and may do everything.
pub struct AdminPrincipalResolver {
    store: Arc<dyn PrincipalStore>,
    known: Mutex<BTreeMap<PrincipalId, (Instant, Option<Principal>)>>,
}

impl fmt::Debug for AdminPrincipalResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPrincipalResolver").finish_non_exhaustive()
    }
}

impl AdminPrincipalResolver {
    /// Of the principals in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn PrincipalStore>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Something about a principal was changed here: the next one who asks is told.
    pub fn forget(&self, id: &PrincipalId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PrincipalId, (Instant, Option<Principal>)>> {
        // A panic while holding this lock leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PrincipalResolver for AdminPrincipalResolver {
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError> {
        if matches!(id.as_str(), "admin" | "system") {
            return Ok(Some(Principal::admin(id.clone())));
        }
        if let Some((at, known)) = self.lock().get(id)
            && at.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let asked = Instant::now();
        let found = self.store.get(id).await?.and_then(PrincipalRecord::active);
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(id.clone(), (asked, found.clone()));
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
    async fn a_change_here_is_known_at_once_and_one_elsewhere_after_a_second() {
        let store = SharedMemory::new(|| Timestamp(1));
        let id = PrincipalId::new("user:ann").unwrap();
        let new = NewPrincipal { id: id.clone(), admin: false, password_hash: None };
        let resolver = AdminPrincipalResolver::new(Arc::new(store.clone()));
        let is_known = async || resolver.resolve(&id).await.unwrap().is_some();
        assert!(!is_known().await);
        store.add(&new).await.unwrap();
        assert!(!is_known().await, "it was asked a moment ago");
        resolver.forget(&id);
        assert!(is_known().await);
        store.set_disabled(&id, true).await.unwrap();
        assert!(is_known().await);
        tokio::time::sleep(FRESH + Duration::from_millis(50)).await;
        assert!(!is_known().await);
        let built_in = resolver.resolve(&PrincipalId::new("admin").unwrap()).await.unwrap();
        assert!(built_in.is_some_and(|admin| admin.admin));
    }
}
