//! A new store with its daemons, and the clock that its times come from.

use crate::client::Client;
use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use testkit::{Daemon, DaemonSpec, PgCluster, PgOptions, ShiftedClock, free_port};

/// The daemons that share one Postgres.
const DAEMONS_ON_POSTGRES: usize = 3;
const TOKEN: &str = "tg_torture_0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Postgres,
}

impl StoreKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        }
    }
}

pub(crate) struct Cluster {
    // Fields are dropped in this order: the daemons before their server.
    pub(crate) daemons: Vec<Daemon>,
    /// The Postgres server. On SQLite there is none.
    pub(crate) server: Option<PgCluster>,
    /// Read by the daemons on SQLite, and by the server on Postgres.
    pub(crate) clock: ShiftedClock,
    folder: TempDir,
}

impl Cluster {
    /// Starts the daemons on an empty store.
    pub(crate) fn start(kind: StoreKind, program: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tidegate-torture-")?;
        let clock = ShiftedClock::create(folder.path()).context("cannot compile the library that shifts the clock")?;
        let (server, url, env) = match kind {
            StoreKind::Sqlite => (None, format!("sqlite:{}", folder.path().join("store.db").display()), clock.env()),
            StoreKind::Postgres => {
                let server = PgCluster::create(&PgOptions { env: clock.env(), ..PgOptions::default() })?;
                let url = server.url();
                (Some(server), url, Vec::new())
            }
        };
        let count = if kind == StoreKind::Postgres { DAEMONS_ON_POSTGRES } else { 1 };
        let daemons = (0..count).map(|nth| Daemon::start(spec(program, folder.path(), nth, &url, &env))).collect();
        Ok(Self { daemons, server, clock, folder })
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        self.daemons.iter().map(|daemon| Client::new(daemon.port(), TOKEN)).collect()
    }

    pub(crate) fn deploy(&self, program: &Path, app: &Path) -> anyhow::Result<()> {
        let daemon = self.daemons.first().context("a cluster has a daemon")?;
        let mut command = Command::new(program);
        command.arg("deploy").arg(app);
        command.env("TIDEGATE_URL", format!("http://127.0.0.1:{}", daemon.port())).env("TIDEGATE_TOKEN", TOKEN);
        let output = command.output().context("cannot run the daemon's program")?;
        ensure!(output.status.success(), "cannot deploy the app: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder with the store and the logs. Returns its path.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

fn spec(program: &Path, folder: &Path, nth: usize, url: &str, env: &[(String, String)]) -> DaemonSpec {
    let port = free_port();
    let own = [
        ("TIDEGATE_STORE_URL", url.to_owned()),
        ("TIDEGATE_HTTP_LISTEN", format!("127.0.0.1:{port}")),
        ("TIDEGATE_ADMIN_TOKEN", TOKEN.to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    DaemonSpec {
        binary: program.to_owned(),
        args: vec!["serve".to_owned()],
        env: own.chain(env.iter().cloned()).collect(),
        port,
        log_folder: folder.to_owned(),
        name: format!("daemon-{nth}"),
    }
}
