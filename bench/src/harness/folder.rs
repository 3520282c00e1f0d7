//! The temporary folder of a run. It must be on a real disk: in memory a commit costs nothing, and
//! all figures about commits would be wrong.

use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A temporary folder. Its drop removes it with its content.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    /// The disk of the folder, for the report.
    pub disk: Disk,
    subfolder_count: AtomicU32,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The path of the device, such as `/dev/vda1`.
    pub device: String,
    /// The type of the file system, such as `ext4`.
    pub file_system: String,
}

/// File systems in memory.
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs", "devtmpfs", "zram"];

impl Folder {
    /// Creates a folder in the system's folder for temporary files, or in `TMPDIR`.
    pub fn create() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-bench-").tempdir().context("no temporary folder")?;
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let path = folder.path().canonicalize()?;
        let unknown = || Disk { device: "unknown".to_owned(), file_system: "unknown".to_owned() };
        let disk = disk_of(&mounts, &path).unwrap_or_else(unknown);
        ensure!(
            !IN_MEMORY.contains(&disk.file_system.as_str()),
            "{} is in memory ({}), so that no commit is durable; nothing was measured. Set TMPDIR to a folder on a disk",
            path.display(),
            disk.file_system
        );
        Ok(Self { folder, disk, subfolder_count: AtomicU32::new(0) })
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Creates an empty subfolder for one repeat.
    pub fn make(&self) -> anyhow::Result<PathBuf> {
        let path = self.path().join(self.subfolder_count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

/// The mount with the longest path above `path`. A later mount on the same path hides an earlier
/// one.
fn disk_of(mounts: &str, path: &Path) -> Option<Disk> {
    let mut found: Option<(usize, Disk)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(at), Some(kind)) = (fields.next(), fields.next(), fields.next()) else { continue };
        // Spaces in paths are written as octal escapes.
        let at = at.replace("\\040", " ");
        if path.starts_with(&at) && found.as_ref().is_none_or(|(length, _)| at.len() >= *length) {
            found = Some((at.len(), Disk { device: device.to_owned(), file_system: kind.to_owned() }));
        }
    }
    found.map(|(_, disk)| disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_nearest_mount() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /my\\040disk xfs rw 0 0\n";
        for (path, expected) in [
            ("/var/tmp/x", Some("ext4")),
            ("/tmp/x", Some("tmpfs")),
            ("/tmpfs", Some("ext4")),
            ("/my disk/a", Some("xfs")),
        ] {
            let found = disk_of(mounts, Path::new(path)).map(|disk| disk.file_system);
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        assert_eq!(disk_of("", Path::new("/tmp")), None);
    }
}
