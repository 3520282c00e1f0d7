//! The files of the database, and the check that they are still the ones that were opened.
//!
//! A process keeps an open file when its name is deleted or given to another file. SQLite would go
//! on with the old file, and everything that is written to it would be lost at the restart.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tidegate_core::{StoreError, StoreErrorKind};

/// The device and the number of a file, which identify it on this machine.
type Identity = (u64, u64);

/// The files as they were when the database was opened.
#[derive(Debug)]
pub(crate) struct Files(Vec<(PathBuf, Identity)>);

impl Files {
    /// Call this when a connection is open: then the log and the shared memory exist.
    pub(crate) fn of(path: &Path) -> Self {
        let all = ["", "-wal", "-shm", LOCK].map(|suffix| beside(path, suffix));
        Self(all.into_iter().filter_map(|path| identity(&path).map(|found| (path, found))).collect())
    }

    /// Fails if one of the files was deleted or replaced.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Some((path, _)) = self.0.iter().find(|(path, opened)| identity(path) != Some(*opened)) else {
            return Ok(());
        };
        let message = format!(
            "{} was deleted or replaced while it was open; nothing was changed; put the file back, or restart the \
             daemon to begin with the files that are there now",
            path.display()
        );
        Err(StoreError::not_applied(StoreErrorKind::Replaced, message))
    }
}

/// The suffix of the file that lets one process at a time open the database.
const LOCK: &str = ".lock";

/// Creates the folder, which only its owner can enter.
pub(crate) fn create_folder(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        created.map_err(|source| (parent.to_owned(), source))?;
    }
    Ok(())
}

/// Takes the lock. `None` if another process has it.
pub(crate) fn lock(path: &Path) -> Result<Option<File>, (PathBuf, io::Error)> {
    let path = beside(path, LOCK);
    let file = private(&path).map_err(|source| (path.clone(), source))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err((path, source)),
    }
}

/// Opens the file for writing. A new file can be read only by its owner. SQLite gives the log and
/// the shared memory the mode of the file.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
