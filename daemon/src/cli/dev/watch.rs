use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Watches the files of an app directory. It says that something may have changed, never what: who is told reads the
/// directory again.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    changes: Receiver<()>,
    directory: PathBuf,
}

/// An editor writes a file in several steps, and a checkout many files: a change is over when it is quiet this long.
const QUIET: Duration = Duration::from_millis(80);
/// A directory that is written to all the time is looked at in between.
const CHANGES_MAX: usize = 1_000;

impl Watch {
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let (sender, changes) = channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost, so it is a reason to look, too. Reading the files is none.
            if event.is_err() || event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.send(());
            }
        });
        let mut watch = Self { watcher: watcher.map_err(io::Error::other)?, changes, directory: directory.to_owned() };
        // Not what is below: the embedded store lives there and changes all the time.
        watch.watcher.watch(directory, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        watch.follow_scripts();
        Ok(watch)
    }

    /// Waits for the next change, and until it is over. `false` if there will be none any more.
    pub(crate) fn changed(&mut self) -> bool {
        if self.changes.recv().is_err() {
            return false;
        }
        for _ in 0..CHANGES_MAX {
            match self.changes.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        self.follow_scripts();
        true
    }

    /// The folder `scripts` may have come, gone or been replaced since; watching it twice is no harm.
    fn follow_scripts(&mut self) {
        let _ = self.watcher.watch(&self.directory.join("scripts"), RecursiveMode::NonRecursive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Sender;
    use std::time::Instant;

    /// Reports each change of `directory` to `sender`.
    fn report(directory: &Path, sender: Sender<()>) {
        let mut watch = Watch::start(directory).unwrap();
        std::thread::spawn(move || {
            while watch.changed() {
                if sender.send(()).is_err() {
                    break;
                }
            }
        });
    }

    /// Waits for a report, and until there are no more.
    fn told(changes: &Receiver<()>) -> bool {
        let told = changes.recv_timeout(Duration::from_secs(10)).is_ok();
        while changes.recv_timeout(QUIET * 4).is_ok() {}
        told
    }

    #[test]
    fn a_change_is_told_when_it_is_over_and_so_is_one_in_a_new_folder_of_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, changes) = channel();
        report(directory.path(), sender);

        let begin = Instant::now();
        std::fs::write(directory.path().join("a.js"), "// a").unwrap();
        assert!(told(&changes) && begin.elapsed() >= QUIET);

        std::fs::create_dir(directory.path().join("scripts")).unwrap();
        assert!(told(&changes));
        std::fs::write(directory.path().join("scripts/b.js"), "// b").unwrap();
        assert!(told(&changes));

        std::fs::create_dir(directory.path().join(".tidegate")).unwrap();
        assert!(told(&changes));
        std::fs::write(directory.path().join(".tidegate/tidegate.db"), "").unwrap();
        assert!(changes.recv_timeout(QUIET * 4).is_err(), "the store is not the app's");
    }
}
