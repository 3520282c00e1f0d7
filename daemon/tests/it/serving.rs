//! A daemon in this process: its listener, its store and its shutdown.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidegate::NativeHandlers;
use tidegate::server::{
    AdminToken, ConnectionLimits, HttpLimits, LogStyle, Retention, ServeError, ServerConfig, StoreUrl, serve,
};
use tidegate_core::{Config, ConfigSpec};
use tidegate_exec_script::Limits;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

fn config(listen: &str, store: PathBuf) -> ServerConfig {
    ServerConfig {
        listen: listen.parse().unwrap(),
        postgres: tidegate_io_postgres::PgOptions::default(),
        migrates: true,
        store: StoreUrl::Sqlite(store),
        admin_token: AdminToken::new("tg_serving"),
        dispatcher: Config::try_from(ConfigSpec::default()).unwrap(),
        scripts: Limits::default(),
        http: HttpLimits::default(),
        connections: ConnectionLimits::default(),
        retention: Retention::default(),
        native: NativeHandlers::default(),
        log: LogStyle::Text,
    }
}

/// A daemon that runs until [`Self::stop`].
pub(crate) struct Running {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) fn start(store: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stop_requested) = oneshot::channel::<()>();
        let (sender, receiver) = std::sync::mpsc::channel();
        let config = config("127.0.0.1:0", store.to_owned());
        let on_listening = move |address| sender.send(address).unwrap();
        let task = runtime.spawn(serve(config, on_listening, async {
            stop_requested.await.ok();
        }));
        let address = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { runtime, address, stop, task }
    }

    /// The whole response: status line, headers and body.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn wait_until_ready(&self) {
        let start = Instant::now();
        while !self.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", self.get("/readyz"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        let ended = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), self.task).await });
        ended.expect("the daemon stops in time").expect("the daemon does not panic")
    }
}

#[test]
fn a_stopped_daemon_releases_its_port_and_its_store() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("t.db");
    for _ in 0..2 {
        let running = Running::start(&store);
        running.wait_until_ready();
        assert!(running.get("/v1/apps").starts_with("HTTP/1.1 401"));
        let address = running.address;
        running.stop().unwrap();
        assert!(TcpStream::connect(address).is_err(), "the port is closed");
    }
}

#[test]
fn a_daemon_waits_for_a_store_that_cannot_be_opened_yet() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("t.db");
    let first = Running::start(&store);
    first.wait_until_ready();
    let second = Running::start(&store);
    assert!(second.get("/healthz").starts_with("HTTP/1.1 200"));
    let answer = second.get("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"reason\":\"store: "), "{answer}");
    first.stop().unwrap();
    second.wait_until_ready();
    second.stop().unwrap();
}

#[test]
fn a_daemon_stops_while_it_waits_for_its_store() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("t.db");
    let first = Running::start(&store);
    first.wait_until_ready();
    Running::start(&store).stop().unwrap();
    first.wait_until_ready();
    first.stop().unwrap();
}

#[test]
fn a_port_in_use_is_named_in_the_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let config = config(&address.to_string(), folder.path().join("t.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let served = runtime.block_on(serve(config, |_| panic!("the port is in use"), async {}));
    let error = served.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
    assert!(!folder.path().join("t.db").exists(), "no store is created");
}
