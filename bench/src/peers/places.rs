//! Where the peers' programs are, and where they are installed: never into the repository.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(super) struct Places {
    /// `bench/peers`.
    pub(super) sources: PathBuf,
    /// A folder per family is made in it.
    pub(super) installed: PathBuf,
}

impl Places {
    /// The target directory that this program was built into holds what is installed, so that whatever cleans one cleans
    /// the other.
    pub(super) fn of_this_program() -> Self {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().unwrap_or_default();
        let target = target_directory(&program).unwrap_or_else(|| bench.join("../target"));
        Self { sources: bench.join("peers"), installed: target.join("peers") }
    }
}

/// Above the folder of the profile, which is the one that cargo locks while it builds. Cargo's other mark, the one for
/// backup programs, is not there if somebody made the directory before cargo did.
fn target_directory(program: &Path) -> Option<PathBuf> {
    let profile = program.ancestors().find(|folder| folder.join(".cargo-lock").is_file())?;
    profile.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_above_the_one_that_cargo_locks() {
        let program = std::env::current_exe().unwrap();
        let target = target_directory(&program).unwrap();
        assert!(program.starts_with(&target) && program.parent() != Some(target.as_path()));
        assert_eq!(target_directory(Path::new("/")), None);
    }
}
