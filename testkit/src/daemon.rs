use crate::http::get;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The specification of a daemon process.
#[derive(Clone, Debug)]
pub struct DaemonSpec {
    pub binary: PathBuf,
    /// The arguments of the program. They must make it listen on `port`.
    pub args: Vec<String>,
    /// Environment variables. The daemon also inherits those of the test, except `TIDEGATE_*` and
    /// `DATABASE_URL`.
    pub env: Vec<(String, String)>,
    /// The port on 127.0.0.1. It stays the same when the daemon is restarted.
    pub port: u16,
    /// The folder for the log files `{name}.out` and `{name}.err`. It must exist.
    pub log_folder: PathBuf,
    /// The name of the daemon, for its log files and for messages.
    pub name: String,
}

/// A daemon in its own process, which can be killed and started again.
///
/// Dropping this value kills the process. If the test is panicking, the end of the daemon's log is
/// printed.
#[derive(Debug)]
pub struct Daemon {
    spec: DaemonSpec,
    child: Child,
}

/// The most time until a daemon is ready. Enough for a debug build on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most time until a daemon ends after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Daemon {
    /// Starts a daemon and waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// If the daemon is not ready within 30 s. The message contains its log.
    #[must_use]
    pub fn start(spec: DaemonSpec) -> Self {
        let daemon = Self::launch(spec);
        daemon.expect_ready()
    }

    /// Starts a daemon without waiting until it is ready.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    #[must_use]
    pub fn launch(spec: DaemonSpec) -> Self {
        let child = spawn(&spec).unwrap_or_else(|error| panic!("cannot start {}: {error}", spec.binary.display()));
        Self { spec, child }
    }

    /// The port of the daemon, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.spec.port
    }

    /// The process id. It changes when the daemon is started again.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    ///
    /// # Panics
    ///
    /// If the system cannot report the state of the process.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child can be read").is_none()
    }

    /// The status of `/readyz`. `None` if the daemon does not answer.
    #[must_use]
    pub fn readiness(&self) -> Option<u16> {
        get(self.spec.port, "/readyz", Duration::from_secs(2)).ok().map(|answer| answer.status)
    }

    /// Waits until `/readyz` answers `status`. Returns `false` if it did not within `timeout`.
    #[must_use]
    pub fn wait_for_readiness(&self, status: u16, timeout: Duration) -> bool {
        wait_until(timeout, || self.readiness() == Some(status))
    }

    /// Kills the process with SIGKILL, and waits for its end.
    ///
    /// # Panics
    ///
    /// If the system cannot kill the process.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Sends SIGTERM to the process, and waits for its end.
    ///
    /// # Panics
    ///
    /// If the process does not end within 30 s. The message contains its log.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM").unwrap_or_else(|error| panic!("is {} running? {error}", self.spec.name));
        let mut status = None;
        let in_time = wait_until(END_TIMEOUT, || {
            status = self.child.try_wait().expect("the state of a child can be read");
            status.is_some()
        });
        assert!(in_time, "{} did not end within 30 s after SIGTERM\n{}", self.spec.name, self.log());
        status.expect("the process ended, or the line above panicked")
    }

    /// Sends a signal to the process. `name` is without `SIG`, such as `STOP`.
    ///
    /// # Errors
    ///
    /// If the process has ended.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        // The standard library can send only SIGKILL.
        let kill = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).output()?;
        let message = || format!("kill -{name} failed: {}", String::from_utf8_lossy(&kill.stderr));
        if kill.status.success() { Ok(()) } else { Err(io::Error::other(message())) }
    }

    /// Starts the daemon again after it ended, with the same arguments and port, and waits until it
    /// is ready.
    ///
    /// # Panics
    ///
    /// If the daemon is not ready within 30 s. The message contains its log.
    pub fn restart(&mut self) {
        self.relaunch();
        assert!(self.wait_until_ready(), "{} did not become ready after a restart\n{}", self.spec.name, self.log());
    }

    /// Starts the daemon again after it ended, without waiting until it is ready.
    ///
    /// # Panics
    ///
    /// If the process still runs, or cannot be started.
    pub fn relaunch(&mut self) {
        assert!(!self.is_running(), "{} is still running", self.spec.name);
        self.child = spawn(&self.spec).expect("a program that was started once can be started again");
    }

    /// The standard output of all starts, and then the standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        for stream in ["out", "err"] {
            let written = std::fs::read(log_file(&self.spec, stream)).unwrap_or_default();
            writeln!(text, "--- {}.{stream}", self.spec.name).expect("writing to a String cannot fail");
            text.push_str(&String::from_utf8_lossy(&written));
        }
        text
    }

    fn expect_ready(mut self) -> Self {
        assert!(self.wait_until_ready(), "{} did not become ready\n{}", self.spec.name, self.log());
        self
    }

    fn wait_until_ready(&mut self) -> bool {
        wait_until(READY_TIMEOUT, || !self.is_running() || self.readiness() == Some(200)) && self.is_running()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The process may have ended already. Then both calls fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let end = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("the end of the log of {}:\n{}", self.spec.name, &log[end..]);
        }
    }
}

fn spawn(spec: &DaemonSpec) -> io::Result<Child> {
    let open = |stream| OpenOptions::new().create(true).append(true).open(log_file(spec, stream));
    let mut command = Command::new(&spec.binary);
    command.args(&spec.args).stdin(Stdio::null()).stdout(open("out")?).stderr(open("err")?);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TIDEGATE_") || name == "DATABASE_URL") {
            command.env_remove(name);
        }
    }
    command.envs(spec.env.iter().map(|(name, value)| (name, value))).spawn()
}

fn log_file(spec: &DaemonSpec, stream: &str) -> PathBuf {
    spec.log_folder.join(format!("{}.{stream}", spec.name))
}

fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < timeout {
        if condition() {
            return true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    condition()
}
