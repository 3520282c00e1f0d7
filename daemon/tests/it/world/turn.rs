use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whose turn it is: tests run in threads beside each other, but one that measures times wants the machine to itself.
///
/// A test that failed poisons nothing: what the lock guards is only time.
pub(crate) enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

static MACHINE: RwLock<()> = RwLock::new(());

impl Turn {
    /// Beside others of this kind.
    pub(crate) fn shared() -> Self {
        Self::Shared { _guard: MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner()) }
    }

    /// Beside no other acceptance test.
    pub(crate) fn alone() -> Self {
        Self::Alone { _guard: MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner()) }
    }
}
