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

/// How a cluster differs from Postgres's own defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgOptions {
    /// Connections at once, all clients together.
    pub max_connections: u32,
    /// In MiB.
    pub shared_buffers_mb: u32,
    /// Lines of `postgresql.conf`: name and value, the value quoted as that file wants it.
    pub settings: Vec<(String, String)>,
}

impl Default for PgOptions {
    /// Enough for a test suite. Durability stays as Postgres ships it: a commit that was answered is on disk.
    fn default() -> Self {
        Self { max_connections: 300, shared_buffers_mb: 256, settings: Vec::new() }
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Disconnects everybody, rolls back and shuts down in order.
    Fast,
    /// As if it had crashed: no shutdown, and recovery at the next start.
    Immediate,
}

/// A Postgres server of our own, in a temporary folder, on a free port of 127.0.0.1 and on a socket in that folder.
///
/// Run by root it runs as an unprivileged user. Clients give a random password, so other users of the machine cannot
/// enter. When this value is dropped, or its process ends in whatever way, the server is stopped and the folder removed.
#[derive(Debug)]
pub struct PgCluster {
    // Dropped first: it stops the server.
    _guardian: Guardian,
    binaries: PgBinaries,
    run_as: RunAs,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl PgCluster {
    /// Makes a cluster and starts it; returns when it takes connections.
    ///
    /// # Errors
    ///
    /// If the server's programs are not there or fail.
    pub fn create(options: &PgOptions) -> Result<Self, PgError> {
        let binaries = PgBinaries::find()?;
        let run_as = RunAs::choose()?;
        let folder = make_folder(run_as)?;
        let guardian = Guardian::post(run_as, &binaries.program("pg_ctl"), &folder.join("data"), &folder)?;
        let password = random_password()?;
        let mut cluster = Self { _guardian: guardian, binaries, run_as, folder, port: 0, password };
        cluster.initdb()?;
        cluster.configure(options)?;
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// Where clients connect: the superuser, the database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Where clients connect to another database of the cluster.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://tidegate:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The server's version, for people.
    #[must_use]
    pub fn version(&self) -> String {
        self.binaries.version()
    }

    /// Stops the server. The data stays, for [`Self::start`].
    ///
    /// # Errors
    ///
    /// If it does not stop within a minute, or was not running.
    pub fn stop(&self, mode: StopMode) -> Result<(), PgError> {
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        self.pg_ctl(&["stop", "-m", mode])
    }

    /// Starts the stopped server again, at the same address; returns when it takes connections.
    ///
    /// # Errors
    ///
    /// If it does not start within a minute.
    pub fn start(&self) -> Result<(), PgError> {
        self.pg_ctl(&["start"])
    }

    /// Crashes the server and starts it again: connections break, transactions under way are lost, recovery runs.
    ///
    /// # Errors
    ///
    /// If it does not come back within a minute.
    pub fn restart_immediate(&self) -> Result<(), PgError> {
        self.pg_ctl(&["restart", "-m", "immediate"])
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
        self.run_as.own(&password_file).map_err(PgError::io("cannot hand over the password file"))?;
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
            writeln!(lines, "{name} = {value}").expect("a String takes every write");
        }
        self.append_to_configuration(&lines)
    }

    /// Somebody may take the port between our look and the server's: then another is tried.
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
        pg_ctl.args(action).arg("-D").arg(self.data()).args(["-w", "-t", "60"]);
        if action != ["stop"] {
            // Without a log of its own the server would hold our pipe open, and we would wait for its end.
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

/// A folder that only the server's user may enter.
fn make_folder(run_as: RunAs) -> Result<PathBuf, PgError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tidegate-pg-{}-{number}", std::process::id()));
    let doing = || format!("cannot make the folder {}", folder.display());
    std::fs::create_dir(&folder).map_err(PgError::io(doing()))?;
    std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(PgError::io(doing()))?;
    run_as.own(&folder).map_err(PgError::io(doing()))?;
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
    fn the_end_of_a_log_is_cut_at_a_line() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\n", 5), "a\nb\n");
        assert_eq!(last_lines("", 5), "");
    }
}
