use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Keeps other acceptance tests from running during a test that measures times.
///
/// The lock protects no data, so the poison of a failed test is ignored.
pub(crate) enum MachineLock {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Exclusive { _guard: RwLockWriteGuard<'static, ()> },
}

static MACHINE: RwLock<()> = RwLock::new(());

impl MachineLock {
    /// Runs at the same time as other shared tests.
    pub(crate) fn shared() -> Self {
        Self::Shared { _guard: MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner()) }
    }

    /// Runs without any other acceptance test.
    pub(crate) fn exclusive() -> Self {
        Self::Exclusive { _guard: MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner()) }
    }
}
