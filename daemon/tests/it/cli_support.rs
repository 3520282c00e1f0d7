//! A copy of the example app, `tidegate dev` on it, and commands for it.

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(super) use crate::world::wait_for;

/// The longest wait for one step. A debug build on a busy machine is slow.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// A running `tidegate dev`. It is killed when this is dropped.
pub(super) struct Dev {
    pub(super) url: String,
    app: TempDir,
    home: TempDir,
    child: Child,
}

/// The exit code and the output of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandOutput {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl CommandOutput {
    pub(super) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Dev {
    /// Starts `tidegate dev` on a free port and waits until its app is deployed.
    pub(super) fn start() -> Self {
        Self::start_in(example(), TempDir::new().unwrap())
    }

    /// Starts `tidegate dev` again in the same directory, after it has ended.
    pub(super) fn restart(&mut self) -> Self {
        let empty = || TempDir::new().unwrap();
        Self::start_in(std::mem::replace(&mut self.app, empty()), std::mem::replace(&mut self.home, empty()))
    }

    fn start_in(app: TempDir, home: TempDir) -> Self {
        let log = |name: &str| std::fs::File::create(home.path().join(name)).unwrap();
        let child = tidegate(&["dev", ".", "--listen", "127.0.0.1:0"])
            .current_dir(app.path())
            .env("XDG_STATE_HOME", home.path())
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("err"))
            .spawn()
            .unwrap();
        let mut dev = Self { url: String::new(), app, home, child };
        let banner = wait_for("the banner", TIMEOUT, || Some(dev.out()).filter(|out| out.contains("try it:")));
        let shown = banner.lines().find_map(|line| line.trim().strip_prefix("url ")).expect("the banner has the URL");
        dev.url = shown.trim().to_owned();
        assert!(
            dev.url.starts_with("http://127.0.0.1:") && !dev.url.ends_with(":0"),
            "the banner has the real port: {banner}"
        );
        dev
    }

    /// Runs a command in the directory of the app. The command finds the daemon by itself.
    pub(super) fn tidegate(&self, args: &[&str]) -> CommandOutput {
        CommandOutput::of(&self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = tidegate(args);
        command.current_dir(self.app.path()).env("XDG_STATE_HOME", self.home.path());
        command
    }

    /// The JSON output of a command. `None` if the command fails.
    pub(super) fn json(&self, args: &[&str]) -> Option<Value> {
        let output = self.tidegate(args);
        (output.code == 0).then(|| serde_json::from_str(&output.out).expect("a command that succeeds prints JSON"))
    }

    /// Replaces the first `old` in a file of the app by `new`.
    pub(super) fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.app.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old:?} is not in {text}");
        std::fs::write(path, text.replacen(old, new, 1)).unwrap();
    }

    /// The text of a file of the app.
    pub(super) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.app.path().join(file)).unwrap()
    }

    /// Writes a file outside of the app and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(super) fn out(&self) -> String {
        std::fs::read_to_string(self.home.path().join("out")).unwrap()
    }

    pub(super) fn err(&self) -> String {
        std::fs::read_to_string(self.home.path().join("err")).unwrap()
    }

    /// The names of the records of running daemons.
    pub(super) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.path().join("tidegate/instances")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Sends SIGTERM and waits for the end of the process.
    pub(super) fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        wait_for("the end of the process", TIMEOUT, || self.child.try_wait().unwrap())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the output of dev:\n{}\n{}", self.out(), self.err());
        }
    }
}

/// The program, in an environment that names no daemon and no store.
pub(super) fn tidegate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TIDEGATE_") || name == "DATABASE_URL") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// A copy of `examples/orders`.
pub(super) fn example() -> TempDir {
    let copy = TempDir::new().unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/orders");
    for entry in std::fs::read_dir(original).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}
