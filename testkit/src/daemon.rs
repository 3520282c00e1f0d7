use crate::http::get;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How to start a daemon.
#[derive(Clone, Debug)]
pub struct DaemonSpec {
    /// The program.
    pub binary: PathBuf,
    /// Its arguments, which make it listen on `port`.
    pub args: Vec<String>,
    /// Set on top of our environment, of which what begins with `TIDEGATE_` and `DATABASE_URL` is left out.
    pub env: Vec<(String, String)>,
    /// Where it answers, on 127.0.0.1. The same for each start.
    pub port: u16,
    /// Where it writes `{name}.out` and `{name}.err`. Must exist.
    pub log_folder: PathBuf,
    /// Names it in those files and in messages.
    pub name: String,
}

/// A daemon in a process of its own, which can be killed and started again.
///
/// When this value is dropped its process is killed; if the test is failing, what it wrote is shown.
#[derive(Debug)]
pub struct Daemon {
    spec: DaemonSpec,
    child: Child,
}

/// How long a daemon may take to become ready. Long enough for a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a daemon may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Daemon {
    /// Starts it and waits until `/readyz` answers 200.
    ///
    /// # Panics
    ///
    /// If it does not become ready; with what it wrote.
    #[must_use]
    pub fn start(spec: DaemonSpec) -> Self {
        let daemon = Self::launch(spec);
        daemon.expect_ready()
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    #[must_use]
    pub fn launch(spec: DaemonSpec) -> Self {
        let child = spawn(&spec).unwrap_or_else(|error| panic!("cannot start {}: {error}", spec.binary.display()));
        Self { spec, child }
    }

    /// Where it answers, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.spec.port
    }

    /// What the system calls its process; another one after each start.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether its process still runs.
    ///
    /// # Panics
    ///
    /// If the system does not say.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked for").is_none()
    }

    /// The status of `/readyz`; `None` if nobody answers.
    #[must_use]
    pub fn readiness(&self) -> Option<u16> {
        get(self.spec.port, "/readyz", Duration::from_secs(2)).ok().map(|answer| answer.status)
    }

    /// Waits until `/readyz` answers `status`. Whether it did within `patience`.
    #[must_use]
    pub fn wait_for_readiness(&self, status: u16, patience: Duration) -> bool {
        wait_until(patience, || self.readiness() == Some(status))
    }

    /// Ends its process at once, without its help (SIGKILL).
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Panics
    ///
    /// If it does not end within 30 s; with what it wrote.
    pub fn terminate(&mut self) -> ExitStatus {
        // The standard library sends no signal but SIGKILL.
        let kill = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(kill.is_ok_and(|status| status.success()), "kill -TERM failed; is {} running?", self.spec.name);
        let mut ended = None;
        let in_time = wait_until(END_WITHIN, || {
            ended = self.child.try_wait().expect("a child can be asked for");
            ended.is_some()
        });
        assert!(in_time, "{} does not end when it is asked to\n{}", self.spec.name, self.log());
        ended.expect("it ended, or the line above panicked")
    }

    /// Starts the ended process again, with the same arguments at the same port, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready; with what it wrote.
    pub fn restart(&mut self) {
        self.relaunch();
        assert!(self.becomes_ready(), "{} is not ready again\n{}", self.spec.name, self.log());
    }

    /// Starts the ended process again and waits for nothing.
    ///
    /// # Panics
    ///
    /// If it still runs, or cannot be started.
    pub fn relaunch(&mut self) {
        assert!(!self.is_running(), "{} is still running", self.spec.name);
        self.child = spawn(&self.spec).expect("what was started once can be started again");
    }

    /// All that it wrote, in all its lives: its standard output, then its standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        for stream in ["out", "err"] {
            let written = std::fs::read(log_file(&self.spec, stream)).unwrap_or_default();
            writeln!(text, "--- {}.{stream}", self.spec.name).expect("a String takes every write");
            text.push_str(&String::from_utf8_lossy(&written));
        }
        text
    }

    fn expect_ready(mut self) -> Self {
        assert!(self.becomes_ready(), "{} is not ready\n{}", self.spec.name, self.log());
        self
    }

    fn becomes_ready(&mut self) -> bool {
        wait_until(READY_WITHIN, || !self.is_running() || self.readiness() == Some(200)) && self.is_running()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let end = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("the end of what {} wrote:\n{}", self.spec.name, &log[end..]);
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

fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if is_so() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    is_so()
}
