//! A world of its own for each acceptance test: a store, and daemons as real processes on it, reached over HTTP.

mod app;
mod client;
mod database;
mod turn;

pub(crate) use app::{App, event, on};
pub(crate) use client::{Answer, Client};
pub(crate) use turn::Turn;

use database::Database;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Daemon, DaemonSpec, PgCluster, PgOptions, free_port};

/// The program as it is shipped.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// The same program with the native handlers `abort`, `sleep_200ms`, `sleep_20ms`, `noop` and `fail`.
pub(crate) const TESTBED: &str = env!("CARGO_BIN_EXE_tidegate-testbed");

pub(crate) const TOKEN: &str = "tg_acceptance_0123456789abcdef0123456789abcdef";

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    /// A database of its own on the server that `TIDEGATE_TEST_POSTGRES` names.
    Postgres,
}

/// A store and what runs on it. All of it is gone when this is dropped.
pub(crate) struct World {
    // In this order: the database is dropped before its server.
    _database: Option<Database>,
    cluster: Option<PgCluster>,
    url: String,
    folder: TempDir,
}

impl World {
    /// An empty store.
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        match kind {
            Kind::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("tidegate.db").display());
                Self { _database: None, cluster: None, url, folder }
            }
            Kind::Postgres => {
                let database = Database::create();
                Self { url: database.url().to_owned(), _database: Some(database), cluster: None, folder }
            }
        }
    }

    /// An empty store on a Postgres server of its own, which the test may stop and crash.
    pub(crate) fn on_own_server() -> Self {
        let options = PgOptions { max_connections: 100, shared_buffers_mb: 64, settings: Vec::new() };
        let cluster = PgCluster::create(&options).unwrap_or_else(|error| panic!("{error}"));
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self { _database: None, url: cluster.url(), cluster: Some(cluster), folder }
    }

    /// The server of [`Self::on_own_server`].
    pub(crate) fn server(&self) -> &PgCluster {
        self.cluster.as_ref().expect("only tests of on_own_server ask")
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn daemon(&self, name: &str, binary: &str, settings: &[(&str, &str)]) -> Daemon {
        Daemon::start(self.spec(name, binary, settings))
    }

    /// How such a daemon is started.
    pub(crate) fn spec(&self, name: &str, binary: &str, settings: &[(&str, &str)]) -> DaemonSpec {
        let port = free_port();
        let own = [
            ("TIDEGATE_STORE_URL", self.url.clone()),
            ("TIDEGATE_HTTP_LISTEN", format!("127.0.0.1:{port}")),
            ("TIDEGATE_ADMIN_TOKEN", TOKEN.to_owned()),
        ];
        let given = settings.iter().map(|&(name, value)| (name, value.to_owned()));
        DaemonSpec {
            binary: PathBuf::from(binary),
            args: vec!["serve".to_owned()],
            env: own.into_iter().chain(given).map(|(name, value)| (name.to_owned(), value)).collect(),
            port,
            log_folder: self.folder.path().to_owned(),
            name: name.to_owned(),
        }
    }

    /// The folder that is gone with this world.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A client of the daemon at `port`, as the admin.
pub(crate) fn client(daemon: &Daemon) -> Client {
    Client::new(daemon.port(), TOKEN)
}

/// Runs the command line's client against the daemon.
pub(crate) fn tidegate(daemon: &Daemon, args: &[&str]) -> Output {
    let mut command = Command::new(TIDEGATE);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TIDEGATE_")) {
            command.env_remove(name);
        }
    }
    command.env("TIDEGATE_URL", format!("http://127.0.0.1:{}", daemon.port())).env("TIDEGATE_TOKEN", TOKEN);
    command.args(args).output().expect("the program was built for this test")
}

/// Deploys the app directory `examples/{name}`, its manifest as `change` leaves it.
pub(crate) fn deploy_example(daemon: &Daemon, name: &str, change: impl Fn(String) -> String) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let copy = TempDir::new().expect("a temporary folder can be made");
    for file in std::fs::read_dir(&example).expect("the example is there") {
        let from = file.expect("its files can be listed").path();
        let file_name = from.file_name().expect("a listed file has a name");
        let text = std::fs::read_to_string(&from).expect("an example is text");
        let text = if file_name == "tidegate.toml" { change(text) } else { text };
        std::fs::write(copy.path().join(file_name), text).expect("a temporary folder can be written to");
    }
    let output = tidegate(daemon, &["deploy", copy.path().to_str().expect("a temporary folder's path is UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until `look` finds something, at most `patience`; then says `what` was waited for.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}, in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}
