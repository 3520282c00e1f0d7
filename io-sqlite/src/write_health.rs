//! Whether writes succeed, for readiness and for the dispatcher.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_core::StoreError;

/// Writes count as failing until one has succeeded this long after the last failure. Small writes
/// may still succeed on a disk that is full for larger ones.
const RECOVERY: Duration = Duration::from_secs(3);
/// The time between two trial writes while writes fail.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);
/// Without a commit for this long, a ping makes a trial write.
const SUCCESS_AGE_MAX: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct WriteHealth(Mutex<State>);

#[derive(Debug)]
struct State {
    failure: Option<StoreError>,
    failed_at: Instant,
    succeeded_at: Instant,
}

impl Default for WriteHealth {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State { failure: None, failed_at: now, succeeded_at: now }))
    }
}

impl WriteHealth {
    pub(crate) fn failed(&self, error: &StoreError) {
        let mut state = self.lock();
        state.failed_at = Instant::now();
        state.failure = Some(error.clone());
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        state.succeeded_at = Instant::now();
        if state.failed_at.elapsed() >= RECOVERY {
            state.failure = None;
        }
    }

    /// The last failure, while writes fail.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.lock().failure.clone()
    }

    /// Whether a trial write would show something new.
    pub(crate) fn is_trial_due(&self, may_be_idle: bool) -> bool {
        let state = self.lock();
        let last = state.failed_at.max(state.succeeded_at).elapsed();
        if state.failure.is_some() { last >= TRIAL_INTERVAL } else { !may_be_idle && last >= SUCCESS_AGE_MAX }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
