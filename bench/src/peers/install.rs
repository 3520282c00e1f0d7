//! Puts the peers of one family where they can run: each in the version that its lock file names, below the target
//! directory.

use super::child::Child;
use super::list::{Family, Program};
use super::places::Places;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Downloads included; the crates take minutes to build on two cores.
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Holds the lock file of what is installed. It is written last, so that half an installation is none.
const MARKER: &str = "installed.lock";

/// Where a family is, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// Without the arguments that say how much to do.
    pub(super) fn command(&self, program: Program) -> Command {
        match program {
            Program::Node(file) => {
                // A runtime of its own where there is one for this machine, for the queues ask for a recent one.
                let own = self.folder.join("node_modules/.bin/node");
                let mut command = Command::new(if own.exists() { own } else { PathBuf::from("node") });
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

/// Installs a family unless just that is installed already. An error says what is missing.
pub(super) fn install(family: Family, places: &Places, show: &mut dyn FnMut(&str)) -> Result<Installed, String> {
    match family {
        Family::Node => {
            demand("npm", "install Node.js with npm (Debian: `apt-get install nodejs npm`)")?;
            let folder = places.installed.join("node");
            let from = places.sources.join("node");
            copy_programs(&from, &folder, &["mjs", "json", "npmrc"])?;
            once(&folder, &from.join("package-lock.json"), || {
                let mut command = Command::new("npm");
                command.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
                Child::run(command, INSTALL_LIMIT, show)
            })?;
            Ok(Installed { folder })
        }
        Family::Python => {
            demand("python3", "install Python with pip (Debian: `apt-get install python3 python3-pip`)")?;
            let folder = places.installed.join("python");
            let from = places.sources.join("python");
            copy_programs(&from, &folder, &["py", "txt"])?;
            once(&folder, &from.join("requirements.txt"), || {
                let packages = folder.join(PACKAGES);
                if packages.exists() {
                    fs::remove_dir_all(&packages).map_err(|error| said(&packages, &error))?;
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
            demand("cargo", "install Rust (rustup.rs)")?;
            let folder = places.installed.join("rust");
            let mut command = Command::new("cargo");
            command.args(["build", "--release", "--locked", "--target-dir"]).arg(&folder);
            command.current_dir(places.sources.join("rust"));
            Child::run(command, INSTALL_LIMIT, show)?;
            Ok(Installed { folder })
        }
    }
}

/// Says what to do before anything is tried: what a missing program makes others say is no help.
fn demand(program: &str, advice: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let answered = Child::run(command, Duration::from_secs(60), &mut |_| {});
    answered.map(drop).map_err(|reason| format!("{reason}; {advice}"))
}

/// Runs the installation unless the marker says that this lock file is what is installed.
fn once(folder: &Path, lock: &Path, installation: impl FnOnce() -> Result<String, String>) -> Result<(), String> {
    let wanted = fs::read_to_string(lock).map_err(|error| said(lock, &error))?;
    let marker = folder.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if marker.exists() {
        fs::remove_file(&marker).map_err(|error| said(&marker, &error))?;
    }
    installation()?;
    fs::write(&marker, wanted).map_err(|error| said(&marker, &error))
}

/// The programs run from where their packages are: that is where Node.js looks for them, and where compiled Python goes.
fn copy_programs(from: &Path, to: &Path, kinds: &[&str]) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| said(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| said(from, &error))? {
        let path = entry.map_err(|error| said(from, &error))?.path();
        let name = path.file_name().unwrap_or_default();
        let is_ours = kinds.iter().any(|kind| name.to_string_lossy().ends_with(&format!(".{kind}")));
        if is_ours {
            fs::copy(&path, to.join(name)).map_err(|error| said(&path, &error))?;
        }
    }
    Ok(())
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_installs_once_and_again_when_the_lock_file_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let mut runs = 0;
        let mut check = |text: &str, outcome: Result<String, String>, expected: (Result<(), String>, u32)| {
            fs::write(&lock, text).unwrap();
            let result = once(folder.path(), &lock, || {
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
    fn what_is_missing_is_said_with_what_to_do() {
        let reason = demand("no-such-program-anywhere", "install it").unwrap_err();
        assert!(reason.starts_with("no-such-program-anywhere cannot be started: "), "{reason}");
        assert!(reason.ends_with("; install it"), "{reason}");
    }
}
