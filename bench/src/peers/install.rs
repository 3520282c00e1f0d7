//! Installs the peers of one family below the target directory, in the versions of the lock file.

use super::child::Child;
use super::folders::PeerFolders;
use super::list::{Family, Program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The limit includes downloads. The crates take minutes to build on two cores.
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);
/// A copy of the lock file of the installed versions. It is written last, so that an interrupted
/// installation does not count.
const MARKER: &str = "installed.lock";

/// The folder of an installed family.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// The command of a program without arguments for the amount of work.
    pub(super) fn command(&self, program: Program) -> Command {
        match program {
            Program::Node(file) => {
                // The queues need a recent Node.js. The lock file has one for some platforms.
                let bundled = self.folder.join("node_modules/.bin/node");
                let mut command = Command::new(if bundled.exists() { bundled } else { PathBuf::from("node") });
                command.arg(self.folder.join(file));
                command
            }
            Program::Python(file) => {
                let mut command = Command::new("python3");
                command.arg(self.folder.join(file)).env("PYTHONPATH", self.folder.join(PACKAGES));
                command
            }
            Program::Rust(queue) => {
                let mut command = Command::new(self.folder.join("release/tidegate-bench-peers"));
                command.arg(queue);
                command
            }
        }
    }
}

const PACKAGES: &str = "packages";

/// Installs a family, unless the same versions are installed already. An error names the missing
/// program.
pub(super) fn install(family: Family, folders: &PeerFolders, show: &mut dyn FnMut(&str)) -> Result<Installed, String> {
    match family {
        Family::Node => {
            require_program("npm", "install Node.js with npm (Debian: `apt-get install nodejs npm`)")?;
            let folder = folders.installed.join("node");
            let from = folders.sources.join("node");
            copy_programs(&from, &folder, &["mjs", "json", "npmrc"])?;
            install_once(&folder, &from.join("package-lock.json"), || {
                let mut command = Command::new("npm");
                command.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
                Child::run(command, INSTALL_LIMIT, show)
            })?;
            Ok(Installed { folder })
        }
        Family::Python => {
            require_program("python3", "install Python with pip (Debian: `apt-get install python3 python3-pip`)")?;
            let folder = folders.installed.join("python");
            let from = folders.sources.join("python");
            copy_programs(&from, &folder, &["py", "txt"])?;
            install_once(&folder, &from.join("requirements.txt"), || {
                let packages = folder.join(PACKAGES);
                if packages.exists() {
                    fs::remove_dir_all(&packages).map_err(|error| path_error(&packages, &error))?;
                }
                let mut command = Command::new("python3");
                command.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
                command.arg("--target").arg(packages).args(["--requirement", "requirements.txt"]);
                command.current_dir(&folder);
                Child::run(command, INSTALL_LIMIT, show)
            })?;
            Ok(Installed { folder })
        }
        Family::Rust => {
            require_program("cargo", "install Rust (rustup.rs)")?;
            let folder = folders.installed.join("rust");
            let mut command = Command::new("cargo");
            command.args(["build", "--release", "--locked", "--target-dir"]).arg(&folder);
            command.current_dir(folders.sources.join("rust"));
            Child::run(command, INSTALL_LIMIT, show)?;
            Ok(Installed { folder })
        }
    }
}

/// Checks that a program exists, so that the error gives advice.
fn require_program(program: &str, advice: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let version = Child::run(command, Duration::from_secs(60), &mut |_| {});
    version.map(drop).map_err(|reason| format!("{reason}; {advice}"))
}

/// Runs the installation, unless the marker equals the lock file.
fn install_once(
    folder: &Path,
    lock: &Path,
    installation: impl FnOnce() -> Result<String, String>,
) -> Result<(), String> {
    let wanted = fs::read_to_string(lock).map_err(|error| path_error(lock, &error))?;
    let marker = folder.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if marker.exists() {
        fs::remove_file(&marker).map_err(|error| path_error(&marker, &error))?;
    }
    installation()?;
    fs::write(&marker, wanted).map_err(|error| path_error(&marker, &error))
}

/// Copies the programs to the folder of their packages. Node.js searches for packages there, and
/// Python writes compiled files there.
fn copy_programs(from: &Path, to: &Path, kinds: &[&str]) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| path_error(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| path_error(from, &error))? {
        let path = entry.map_err(|error| path_error(from, &error))?.path();
        let name = path.file_name().unwrap_or_default();
        let is_program = kinds.iter().any(|kind| name.to_string_lossy().ends_with(&format!(".{kind}")));
        if is_program {
            fs::copy(&path, to.join(name)).map_err(|error| path_error(&path, &error))?;
        }
    }
    Ok(())
}

fn path_error(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_runs_again_only_if_the_lock_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let mut runs = 0;
        let mut check = |text: &str, outcome: Result<String, String>, expected: (Result<(), String>, u32)| {
            fs::write(&lock, text).unwrap();
            let result = install_once(folder.path(), &lock, || {
                runs += 1;
                outcome
            });
            assert_eq!((result, runs), expected, "{text}");
        };
        let done = || Ok(String::new());
        check("a = 1", done(), (Ok(()), 1));
        check("a = 1", done(), (Ok(()), 1));
        check("a = 2", Err("no network".to_owned()), (Err("no network".to_owned()), 2));
        check("a = 1", done(), (Ok(()), 3));
    }

    #[test]
    fn a_missing_program_is_reported_with_advice() {
        let reason = require_program("no-such-program-anywhere", "install it").unwrap_err();
        assert!(reason.starts_with("no-such-program-anywhere cannot be started: "), "{reason}");
        assert!(reason.ends_with("; install it"), "{reason}");
    }
}
