//! A folder that looks like a clone of the repository with a finished build, and a shell in it.

use crate::cli_support::{CommandOutput, TIMEOUT, example, tidegate, wait_for};
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use testkit::free_port;

/// The port of the pages.
const PORT: &str = "127.0.0.1:8787";
/// Runs the finished build: `cargo run --release -- ARGUMENTS`.
const CARGO: &str = "#!/bin/sh\nshift 3\nexec tidegate \"$@\"\n";

/// Daemons that it started are killed when it is dropped.
pub(super) struct Shell {
    folder: TempDir,
    address: String,
    daemon: Option<Child>,
}

impl Shell {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["examples", "target/release", "bin", "home"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_tidegate");
        symlink(program, path("target/release/tidegate")).unwrap();
        symlink(program, path("bin/tidegate")).unwrap();
        std::fs::write(path("bin/cargo"), CARGO).unwrap();
        std::fs::set_permissions(path("bin/cargo"), Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(example().keep(), path("examples/orders")).unwrap();
        Self { folder, address: format!("127.0.0.1:{}", free_port()), daemon: None }
    }

    /// A shell script in the folder, with the environment of a new user.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        // An alias is not known in the line that defines it, so each line is read on its own.
        command.args(["-e", "-O", "expand_aliases", "-c"]).arg(script.replace(PORT, &self.address));
        for (name, value) in tidegate(&[]).get_envs() {
            assert!(value.is_none(), "the program runs without variables");
            command.env_remove(name);
        }
        let path = std::env::var("PATH").unwrap();
        command.current_dir(self.folder.path()).env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("XDG_STATE_HOME", self.path("home")).env("TIDEGATE_HTTP_LISTEN", &self.address);
        command
    }

    /// Runs a script to its end. `input` is its standard input.
    pub(super) fn run(&self, script: &str, input: &str) -> CommandOutput {
        let mut command = self.command(script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that reads no input may have ended already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        CommandOutput::of(&child.wait_with_output().unwrap())
    }

    /// Starts `tidegate dev` by `script`, in place of an earlier one, and waits until it answers.
    /// Returns its banner.
    pub(super) fn start_daemon(&mut self, script: &str) -> String {
        self.stop_daemon();
        let log = |name: &str| File::create(self.path(name)).unwrap();
        let script = format!("exec {script}");
        let child = self.command(&script).stdin(Stdio::null()).stdout(log("out")).stderr(log("err")).spawn().unwrap();
        self.daemon = Some(child);
        wait_for("the banner", TIMEOUT, || Some(self.log()).filter(|out| out.contains("try it:")))
    }

    fn stop_daemon(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.path("out")).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.stop_daemon();
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.log(), std::fs::read_to_string(self.path("err")).unwrap_or_default());
        }
    }
}
