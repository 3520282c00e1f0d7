use super::PgError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the server programs of Postgres. Distributions do not add it to the `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgBinaries {
    folder: PathBuf,
}

impl PgBinaries {
    /// Searches the folder that `pg_config --bindir` prints, then the folders of distributions such
    /// as `/usr/lib/postgresql/*/bin` (the newest version first), then the `PATH`.
    ///
    /// # Errors
    ///
    /// [`PgError::NoServer`] if no folder has all programs.
    pub fn find() -> Result<Self, PgError> {
        let mut searched = Vec::new();
        for folder in from_pg_config().into_iter().chain(from_distributions()).chain(from_path()) {
            if ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file()) {
                return Ok(Self { folder });
            }
            searched.push(folder);
        }
        Err(PgError::NoServer { searched })
    }

    /// The path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The version, such as `postgres (PostgreSQL) 17.2`. Empty if the program does not run.
    #[must_use]
    pub fn version(&self) -> String {
        stdout_of(Command::new(self.program("postgres")).arg("--version")).unwrap_or_default()
    }
}

fn from_pg_config() -> Option<PathBuf> {
    stdout_of(Command::new("pg_config").arg("--bindir")).map(PathBuf::from)
}

fn from_distributions() -> Vec<PathBuf> {
    // Debian and Ubuntu; Red Hat and SUSE; Homebrew on both kinds of Mac.
    let debian = versions_below(Path::new("/usr/lib/postgresql"), "");
    let red_hat = versions_below(Path::new("/usr"), "pgsql-");
    let brew = ["/opt/homebrew/opt", "/usr/local/opt"].into_iter();
    debian
        .into_iter()
        .chain(red_hat)
        .chain(brew.flat_map(|opt| versions_below(Path::new(opt), "postgresql@")))
        .collect()
}

/// The folders `folder/{prefix}{version}/bin` that exist, with the newest version first.
fn versions_below(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

fn from_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect()
}

fn stdout_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let root = std::env::temp_dir().join(format!("testkit-versions-{}", std::process::id()));
        for version in ["9", "15", "17", "common"] {
            std::fs::create_dir_all(root.join(version)).unwrap();
        }
        let found = versions_below(&root, "");
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, ["17", "15", "9"].map(|version| root.join(version).join("bin")));
    }
}
