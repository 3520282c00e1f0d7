use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Watches the files of an app directory. It reports that a file may have changed, but not which
/// file, so the caller reads the whole directory again.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    changes: Receiver<()>,
    directory: PathBuf,
}

/// A change is over after this time without an event. An editor writes a file in several steps, and
/// a checkout writes many files.
const QUIET: Duration = Duration::from_millis(80);
/// After this many events a change counts as over, even if more events arrive.
const EVENTS_MAX: usize = 1_000;

impl Watch {
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let (sender, changes) = channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost, so it counts as a change. Read access is no
            // change.
            if event.is_err() || event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.send(());
            }
        });
        let mut watch = Self { watcher: watcher.map_err(io::Error::other)?, changes, directory: directory.to_owned() };
        // Not recursive: the embedded store is in a subfolder and changes all the time.
        watch.watcher.watch(directory, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        watch.watch_scripts();
        Ok(watch)
    }

    /// Waits for the end of the next change. Returns `false` if the watcher has stopped.
    pub(crate) fn wait_for_change(&mut self) -> bool {
        if self.changes.recv().is_err() {
            return false;
        }
        for _ in 0..EVENTS_MAX {
            match self.changes.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        self.watch_scripts();
        true
    }

    /// Watches the folder `scripts`, which may be new or replaced. Watching a folder twice has no
    /// effect.
    fn watch_scripts(&mut self) {
        let _ = self.watcher.watch(&self.directory.join("scripts"), RecursiveMode::NonRecursive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Sender;
    use std::time::Instant;

    /// Sends a message for each change of `directory`.
    fn report(directory: &Path, sender: Sender<()>) {
        let mut watch = Watch::start(directory).unwrap();
        std::thread::spawn(move || {
            while watch.wait_for_change() {
                if sender.send(()).is_err() {
                    break;
                }
            }
        });
    }

    /// Waits for a report, and then until no more reports arrive.
    fn is_reported(changes: &Receiver<()>) -> bool {
        let reported = changes.recv_timeout(Duration::from_secs(10)).is_ok();
        while changes.recv_timeout(QUIET * 4).is_ok() {}
        reported
    }

    #[test]
    fn changes_of_the_directory_and_of_a_new_scripts_folder_are_reported_when_they_are_over() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, changes) = channel();
        report(directory.path(), sender);

        let begin = Instant::now();
        std::fs::write(directory.path().join("a.js"), "// a").unwrap();
        assert!(is_reported(&changes) && begin.elapsed() >= QUIET);

        std::fs::create_dir(directory.path().join("scripts")).unwrap();
        assert!(is_reported(&changes));
        std::fs::write(directory.path().join("scripts/b.js"), "// b").unwrap();
        assert!(is_reported(&changes));

        std::fs::create_dir(directory.path().join(".tidegate")).unwrap();
        assert!(is_reported(&changes));
        std::fs::write(directory.path().join(".tidegate/tidegate.db"), "").unwrap();
        assert!(changes.recv_timeout(QUIET * 4).is_err(), "a change of the store is not a change of the app");
    }
}
