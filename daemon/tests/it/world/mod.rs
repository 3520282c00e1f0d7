//! The environment of an acceptance test.
//!
//! Each test has its own store, and daemons on it. A daemon is a real process that the test calls
//! over HTTP.

mod app;
mod client;
mod database;
mod machine_lock;

pub(crate) use app::{App, event, on};
pub(crate) use client::{Answer, Client};
pub(crate) use database::Database;
pub(crate) use machine_lock::MachineLock;

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Daemon, DaemonSpec, PgCluster, PgOptions, Proxy, free_port};

/// The program that is shipped.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// The same program with the native handlers of `testbed/main.rs`.
pub(crate) const TESTBED: &str = env!("CARGO_BIN_EXE_tidegate-testbed");

pub(crate) const TOKEN: &str = "tg_acceptance_0123456789abcdef0123456789abcdef";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    /// A new database on the server that `TIDEGATE_TEST_POSTGRES` names.
    Postgres,
}

/// A store, and a folder for the files of its daemons. Both are deleted with this value.
pub(crate) struct World {
    // Fields are dropped in this order: the database before its server.
    _database: Option<Database>,
    cluster: Option<PgCluster>,
    url: String,
    folder: TempDir,
}

impl World {
    /// A world with an empty store.
    pub(crate) fn new(kind: StoreKind) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be created");
        match kind {
            StoreKind::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("tidegate.db").display());
                Self { _database: None, cluster: None, url, folder }
            }
            StoreKind::Postgres => {
                let database = Database::create();
                Self { url: database.url().to_owned(), _database: Some(database), cluster: None, folder }
            }
        }
    }

    /// A world with its own Postgres server, which the test may stop and crash.
    pub(crate) fn on_own_server() -> Self {
        Self::on_own_server_with(Vec::new())
    }

    /// The same, with environment variables of the server.
    pub(crate) fn on_own_server_with(env: Vec<(String, String)>) -> Self {
        let options = PgOptions { max_connections: 100, shared_buffers_mb: 64, settings: Vec::new(), env };
        let cluster = PgCluster::create(&options).unwrap_or_else(|error| panic!("{error}"));
        let folder = TempDir::new().expect("a temporary folder can be created");
        Self { _database: None, url: cluster.url(), cluster: Some(cluster), folder }
    }

    /// Lets the daemons reach the server through a proxy.
    pub(crate) fn through_proxy(mut self) -> (Self, Proxy) {
        let after_user = self.url.rfind('@').expect("the URL names a user") + 1;
        let place = self.url[after_user..].split('/').next().expect("the URL names a host").to_owned();
        let mut addresses = place.to_socket_addrs().expect("the URL names a host and a port");
        let proxy = Proxy::start(addresses.next().expect("the host has an address"));
        self.url = self.url.replace(&place, &format!("127.0.0.1:{}", proxy.port()));
        (self, proxy)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs a statement on the store's database, as the user of the test server.
    pub(crate) fn execute(&self, statement: &str) {
        database::execute(&self.url, statement.to_owned()).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The server of [`Self::on_own_server`].
    pub(crate) fn server(&self) -> &PgCluster {
        self.cluster.as_ref().expect("the world has its own server")
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn daemon(&self, name: &str, binary: &str, settings: &[(&str, &str)]) -> Daemon {
        Daemon::start(self.spec(name, binary, settings))
    }

    /// The specification of a daemon on this store.
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

    /// A temporary folder that is deleted with this world.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A client with the admin token.
pub(crate) fn client(daemon: &Daemon) -> Client {
    Client::new(daemon.port(), TOKEN)
}

/// Runs a command of the program against the daemon.
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

/// Deploys the app directory `examples/{name}`. `change` edits its manifest.
pub(crate) fn deploy_example(daemon: &Daemon, name: &str, change: impl Fn(String) -> String) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let copy = TempDir::new().expect("a temporary folder can be created");
    for file in std::fs::read_dir(&example).expect("the example exists") {
        let from = file.expect("the files of the example can be listed").path();
        let file_name = from.file_name().expect("a listed file has a name");
        let text = std::fs::read_to_string(&from).expect("an example is text");
        let text = if file_name == "tidegate.toml" { change(text) } else { text };
        std::fs::write(copy.path().join(file_name), text).expect("a temporary folder can be written to");
    }
    let output = tidegate(daemon, &["deploy", copy.path().to_str().expect("a temporary folder's path is UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Repeats `poll` until it returns a value, for at most `timeout`. The panic message names
/// `event`.
pub(crate) fn wait_for<T>(event: &str, timeout: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(start.elapsed() < timeout, "timed out after {timeout:?} waiting for {event}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
