//! The folders of the peers' sources and installations. Installations are outside the sources.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(super) struct PeerFolders {
    pub(super) sources: PathBuf,
    /// Each family is installed in a subfolder.
    pub(super) installed: PathBuf,
}

impl PeerFolders {
    /// Peers are installed in the target directory of this program, so that `cargo clean` removes
    /// them.
    pub(super) fn of_this_program() -> Self {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().unwrap_or_default();
        let target = target_directory(&program).unwrap_or_else(|| bench.join("../target"));
        Self { sources: bench.join("peers"), installed: target.join("peers") }
    }
}

/// The parent of the profile's folder, which contains cargo's lock file. The file `CACHEDIR.TAG` is
/// no reliable mark: cargo writes it only if it created the target directory itself.
fn target_directory(program: &Path) -> Option<PathBuf> {
    let profile = program.ancestors().find(|folder| folder.join(".cargo-lock").is_file())?;
    profile.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_contains_the_folder_with_the_lock_file() {
        let program = std::env::current_exe().unwrap();
        let target = target_directory(&program).unwrap();
        assert!(program.starts_with(&target) && program.parent() != Some(target.as_path()));
        assert_eq!(target_directory(Path::new("/")), None);
    }
}
