//! How many threads each app keeps busy for long. The bound on them keeps the scripts of one app
//! from taking the processor and the memory of the other apps.

use std::collections::BTreeMap;
use tidegate_core::AppName;

/// The apps with threads that compute for long or are stuck. Empty while all scripts are short.
#[derive(Default)]
pub(crate) struct Apps {
    threads: BTreeMap<AppName, AppThreads>,
}

/// The threads of one app.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct AppThreads {
    /// Threads that compute for long, and are not stuck yet.
    computing: usize,
    /// Threads that are stuck in a built-in function.
    stuck: usize,
}

impl Apps {
    pub(crate) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// The threads of `app` that compute for long or are stuck.
    pub(crate) fn busy(&self, app: &AppName) -> usize {
        self.threads.get(app).map_or(0, |threads| threads.computing + threads.stuck)
    }

    /// The threads of `app` that are stuck.
    pub(crate) fn stuck(&self, app: &AppName) -> usize {
        self.threads.get(app).map_or(0, |threads| threads.stuck)
    }

    /// The stuck threads of all apps.
    pub(crate) fn stuck_of_all(&self) -> usize {
        self.threads.values().map(|threads| threads.stuck).sum()
    }

    /// The apps with stuck threads, and the number of these threads.
    pub(crate) fn all_stuck(&self) -> BTreeMap<AppName, usize> {
        let stuck = self.threads.iter().filter(|(_, threads)| threads.stuck > 0);
        stuck.map(|(app, threads)| (app.clone(), threads.stuck)).collect()
    }

    pub(crate) fn start_computing(&mut self, app: &AppName) {
        self.threads.entry(app.clone()).or_default().computing += 1;
    }

    pub(crate) fn end_computing(&mut self, app: &AppName) {
        self.change(app, |threads| threads.computing -= 1);
    }

    pub(crate) fn start_stuck(&mut self, app: &AppName) {
        self.threads.entry(app.clone()).or_default().stuck += 1;
    }

    pub(crate) fn end_stuck(&mut self, app: &AppName) {
        self.change(app, |threads| threads.stuck -= 1);
    }

    fn change(&mut self, app: &AppName, change: impl FnOnce(&mut AppThreads)) {
        let Some(threads) = self.threads.get_mut(app) else { return };
        change(threads);
        if *threads == AppThreads::default() {
            self.threads.remove(app);
        }
    }
}
