mod standby;

pub use standby::Frozen;

use super::binaries::PgBinaries;
use super::error::PgError;
use super::guardian::Guardian;
use super::user::RunAs;
use crate::port::free_port;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Settings of a cluster that differ from Postgres's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgOptions {
    /// The most connections at once, of all clients together.
    pub max_connections: u32,
    /// The size of the shared buffers in MiB.
    pub shared_buffers_mb: u32,
    /// More lines of `postgresql.conf`: name and value. The value is quoted as that file requires.
    pub settings: Vec<(String, String)>,
    /// Environment variables of the server.
    pub env: Vec<(String, String)>,
}

impl Default for PgOptions {
    /// Enough for a test suite. Durability keeps its defaults: a commit is on disk before the
    /// client gets the answer.
    fn default() -> Self {
        Self { max_connections: 300, shared_buffers_mb: 256, settings: Vec::new(), env: Vec::new() }
    }
}

/// The way to stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects all clients, rolls their transactions back, and shuts down in order.
    Fast,
    /// Stops as in a crash: without a shutdown, so that the next start runs recovery.
    Immediate,
}

/// A temporary Postgres server. It listens on a free port of 127.0.0.1, and on a socket in its
/// temporary folder.
///
/// If root starts it, the server runs as an unprivileged user. Clients need a random password, so
/// that other users of the machine cannot connect. The server is stopped and its folder removed
/// when this value is dropped, or when the process ends for any reason.
#[derive(Debug)]
pub struct PgCluster {
    // The first field is dropped first. It stops the server.
    _guardian: Guardian,
    binaries: PgBinaries,
    run_as: RunAs,
    folder: PathBuf,
    env: Vec<(String, String)>,
    port: u16,
    password: String,
}

impl PgCluster {
    /// Creates a cluster and starts it. Returns when the server accepts connections.
    ///
    /// # Errors
    ///
    /// If the server programs are not installed, or one of them fails.
    pub fn create(options: &PgOptions) -> Result<Self, PgError> {
        let binaries = PgBinaries::find()?;
        let run_as = RunAs::choose()?;
        let folder = make_folder(run_as)?;
        let guardian = Guardian::start(run_as, &binaries.program("pg_ctl"), &folder.join("data"), &folder)?;
        let password = random_password()?;
        let env = options.env.clone();
        let mut cluster = Self { _guardian: guardian, binaries, run_as, folder, env, port: 0, password };
        cluster.initdb()?;
        cluster.configure(options)?;
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// The URL of the database `postgres`, for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of another database of the cluster, for the superuser.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://tidegate:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The version of the server, to be displayed.
    #[must_use]
    pub fn version(&self) -> String {
        self.binaries.version()
    }

    /// Stops the server and keeps its data. [`Self::start`] starts it again.
    ///
    /// # Errors
    ///
    /// If the server does not stop within 60 s, or was not running.
    pub fn stop(&self, mode: StopMode) -> Result<(), PgError> {
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        self.pg_ctl(&["stop", "-m", mode])
    }

    /// Starts the stopped server again on the same port. Returns when the server accepts
    /// connections.
    ///
    /// # Errors
    ///
    /// If the server does not start within 60 s.
    pub fn start(&self) -> Result<(), PgError> {
        self.pg_ctl(&["start"])
    }

    /// Crashes the server and starts it again. Connections break, open transactions are lost, and
    /// recovery runs.
    ///
    /// # Errors
    ///
    /// If the server does not start within 60 s.
    pub fn restart_immediate(&self) -> Result<(), PgError> {
        self.pg_ctl(&["restart", "-m", "immediate"])
    }

    /// Ends the server processes of all clients, as `pg_terminate_backend` does. Their connections
    /// break.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn terminate_backends(&self) -> Result<(), PgError> {
        let pid_file = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(pid_file).map_err(PgError::io("cannot read postmaster.pid"))?;
        let mut pkill = Command::new("pkill");
        // The title of such a process has the address of its client.
        pkill.args(["-TERM", "-P", text.lines().next().unwrap_or_default(), "-f", r"127\.0\.0\.1\("]);
        // The status is 1 if there is no client.
        pkill.status().map_err(PgError::io("cannot run pkill"))?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn initdb(&self) -> Result<(), PgError> {
        let password_file = self.folder.join("password");
        std::fs::write(&password_file, &self.password).map_err(PgError::io("cannot write the password file"))?;
        self.run_as.own(&password_file).map_err(PgError::io("cannot change the owner of the password file"))?;
        let mut initdb = self.run_as.command(self.binaries.program("initdb"));
        initdb.arg("-D").arg(self.data()).arg("--pwfile").arg(&password_file);
        initdb.args(["-U", "tidegate", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(initdb)
    }

    fn configure(&self, options: &PgOptions) -> Result<(), PgError> {
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = {}\n\
             shared_buffers = '{}MB'\nmax_wal_size = '4GB'\n",
            self.folder.display(),
            options.max_connections,
            options.shared_buffers_mb,
        );
        for (name, value) in &options.settings {
            writeln!(lines, "{name} = {value}").expect("writing to a String cannot fail");
        }
        self.append_to_configuration(&lines)
    }

    /// Tries another port if a different process takes the port before the server listens on it.
    fn start_on_a_free_port(&mut self) -> Result<(), PgError> {
        let mut tries = 0;
        loop {
            self.port = free_port();
            self.append_to_configuration(&format!("port = {}\n", self.port))?;
            match self.start() {
                Err(error) if tries < 3 && error.to_string().contains("Address already in use") => tries += 1,
                other => return other,
            }
        }
    }

    fn append_to_configuration(&self, lines: &str) -> Result<(), PgError> {
        use std::io::Write as _;
        let path = self.data().join("postgresql.conf");
        let file = std::fs::OpenOptions::new().append(true).open(path);
        file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(PgError::io("cannot write postgresql.conf"))
    }

    fn pg_ctl(&self, action: &[&str]) -> Result<(), PgError> {
        let mut pg_ctl = self.run_as.command(self.binaries.program("pg_ctl"));
        pg_ctl.envs(self.env.iter().map(|(name, value)| (name, value)));
        pg_ctl.args(action).arg("-D").arg(self.data()).args(["-w", "-t", "60"]);
        if action[0] != "stop" {
            // Without its own log file, the server would keep the output pipe open, and `run` would
            // wait until the server ends.
            pg_ctl.arg("-l").arg(self.log());
        }
        run(pg_ctl).map_err(|error| match error {
            PgError::Program { command, mut output } => {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                output.push_str(last_lines(&log, 20));
                PgError::Program { command, output }
            }
            other => other,
        })
    }
}

/// Creates a folder that only the user of the server may enter.
fn make_folder(run_as: RunAs) -> Result<PathBuf, PgError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tidegate-pg-{}-{number}", std::process::id()));
    let attempt = || format!("cannot create the folder {}", folder.display());
    std::fs::create_dir(&folder).map_err(PgError::io(attempt()))?;
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(PgError::io(attempt()))?;
    run_as.own(&folder).map_err(PgError::io(attempt()))?;
    Ok(folder)
}

fn random_password() -> Result<String, PgError> {
    let mut bytes = [0_u8; 16];
    let source = std::fs::File::open(Path::new("/dev/urandom"));
    source.and_then(|mut file| file.read_exact(&mut bytes)).map_err(PgError::io("cannot read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn run(mut command: Command) -> Result<(), PgError> {
    let output = command.output().map_err(PgError::io(format!("cannot run {:?}", command.get_program())))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(PgError::Program { command: format!("{command:?}"), output: String::from_utf8_lossy(&text).into_owned() })
}

fn last_lines(text: &str, count: usize) -> &str {
    let start = text.rmatch_indices('\n').nth(count).map_or(0, |(at, _)| at + 1);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_starts_at_a_line() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\n", 5), "a\nb\n");
        assert_eq!(last_lines("", 5), "");
    }
}
