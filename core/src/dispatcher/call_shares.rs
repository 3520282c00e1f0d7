//! The permits that the sync calls of each app hold.

use crate::names::AppName;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct CallShares {
    /// The apps that hold at least one permit.
    permits: BTreeMap<AppName, u32>,
    /// The apps of the running executions, by the number of the operation.
    running: BTreeMap<u64, AppName>,
}

impl CallShares {
    pub(super) fn permits_of(&self, app: &AppName) -> u32 {
        self.permits.get(app).copied().unwrap_or_default()
    }

    /// A call of `app` got a permit.
    pub(super) fn take(&mut self, app: &AppName) {
        *self.permits.entry(app.clone()).or_default() += 1;
    }

    /// A call of `app` returned its permit.
    pub(super) fn release(&mut self, app: &AppName) {
        if let Some(permits) = self.permits.get_mut(app) {
            *permits -= 1;
            if *permits == 0 {
                self.permits.remove(app);
            }
        }
    }

    /// A call of `app` that has a permit runs as the operation `seq`.
    pub(super) fn started(&mut self, seq: u64, app: AppName) {
        self.running.insert(seq, app);
    }

    /// The operation `seq` ended, and its call returned its permit.
    pub(super) fn ended(&mut self, seq: u64) {
        if let Some(app) = self.running.remove(&seq) {
            self.release(&app);
        }
    }
}
