//! A second server that follows the first one, and a server that is frozen.

use super::{PgCluster, make_folder, run};
use crate::postgres::error::PgError;
use crate::postgres::guardian::Guardian;
use std::process::Command;

/// A server whose processes are stopped. They continue when this value is dropped.
#[derive(Debug)]
pub struct Frozen {
    processes: Vec<String>,
}

impl PgCluster {
    /// Starts a synchronous standby: from now on a commit of this server waits for the standby.
    ///
    /// # Errors
    ///
    /// If one of the server programs fails.
    pub fn standby(&self) -> Result<Self, PgError> {
        let folder = make_folder(self.run_as)?;
        let guardian = Guardian::start(self.run_as, &self.binaries.program("pg_ctl"), &folder.join("data"), &folder)?;
        let mut standby = Self {
            _guardian: guardian,
            binaries: self.binaries.clone(),
            run_as: self.run_as,
            folder,
            env: self.env.clone(),
            port: 0,
            password: self.password.clone(),
        };
        let mut backup = self.run_as.command(self.binaries.program("pg_basebackup"));
        backup.env("PGPASSWORD", &self.password).args(["-h", "127.0.0.1", "-U", "tidegate", "-R", "-c", "fast"]);
        backup.args(["-p", &self.port.to_string(), "-D"]).arg(standby.data());
        run(backup)?;
        standby.append_to_configuration(&format!("unix_socket_directories = '{}'\n", standby.folder.display()))?;
        standby.start_on_a_free_port()?;
        self.append_to_configuration("synchronous_standby_names = '*'\n")?;
        self.pg_ctl(&["reload"])?;
        Ok(standby)
    }

    /// Ends the recovery of a standby, so that it allows writes.
    ///
    /// # Errors
    ///
    /// If the server does not end it within 60 s.
    pub fn promote(&self) -> Result<(), PgError> {
        self.pg_ctl(&["promote"])
    }

    /// Stops all processes of the server without ending them. Its connections stay open and get no
    /// answer.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        let pid_file = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("the server runs");
        let postmaster = pid_file.lines().next().expect("the file begins with the process id").to_owned();
        let frozen = Frozen { processes: vec![postmaster.clone()] };
        frozen.signal("-STOP");
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().expect("pgrep is installed");
        let children = String::from_utf8_lossy(&children.stdout).lines().map(str::to_owned).collect();
        let children = Frozen { processes: children };
        children.signal("-STOP");
        Frozen { processes: [frozen.take(), children.take()].concat() }
    }

    /// The port of the server, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Frozen {
    fn take(mut self) -> Vec<String> {
        std::mem::take(&mut self.processes)
    }

    fn signal(&self, signal: &str) {
        // A process that has ended in the meantime is no error.
        let _ = Command::new("kill").arg(signal).args(&self.processes).output();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.processes.is_empty() {
            self.signal("-CONT");
        }
    }
}
