//! A copy of the example app with `tidegate dev` on it, and commands typed beside it.

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take in a debug build on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A running `tidegate dev`. It is killed when this is dropped.
pub(super) struct Dev {
    pub(super) url: String,
    app: TempDir,
    home: TempDir,
    child: Child,
}

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Dev {
    /// Starts it on a port that the system chooses, and waits until its app is deployed.
    pub(super) fn start() -> Self {
        let (app, home) = (example(), TempDir::new().unwrap());
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
        let banner = wait_for("the banner", PATIENCE, || Some(dev.out()).filter(|out| out.contains("try it:")));
        let shown = banner.lines().find_map(|line| line.trim().strip_prefix("url ")).expect("the banner has the URL");
        dev.url = shown.trim().to_owned();
        assert!(dev.url.starts_with("http://127.0.0.1:") && !dev.url.ends_with(":0"), "the real port: {banner}");
        dev
    }

    /// Types a command in the app's directory; it has to find the daemon by itself.
    pub(super) fn tidegate(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = tidegate(args);
        command.current_dir(self.app.path()).env("XDG_STATE_HOME", self.home.path());
        command
    }

    /// What a command answers in JSON; `None` if it fails.
    pub(super) fn json(&self, args: &[&str]) -> Option<Value> {
        let said = self.tidegate(args);
        (said.code == 0).then(|| serde_json::from_str(&said.out).expect("a command that succeeds answers JSON"))
    }

    /// Replaces the first `old` of a file of the app by `new`.
    pub(super) fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.app.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old:?} is not in {text}");
        std::fs::write(path, text.replacen(old, new, 1)).unwrap();
    }

    /// Writes a file outside of the app and answers its path.
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

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub(super) fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        wait_for("its end", PATIENCE, || self.child.try_wait().unwrap())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what dev wrote:\n{}\n{}", self.out(), self.err());
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

/// Waits until `look` finds something, at most `patience`; then says `what` was waited for.
pub(super) fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}, in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}
