//! The real daemon as a process, and an HTTP client for it.

use crate::context::Context;
use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::Path;
use testkit::{Daemon, DaemonSpec, free_port};
use tokio::net::TcpStream;

/// A running daemon. Its drop kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    daemon: Daemon,
}

/// A keep-alive connection to the daemon.
#[derive(Debug)]
pub(crate) struct Client {
    requests: SendRequest<Full<Bytes>>,
    host: String,
}

/// The admin token. The daemon listens only on the loopback address.
const TOKEN: &str = "tg_bench_0123456789abcdef0123456789abcdef0123456789";

impl Process {
    /// Starts a daemon with default settings on the store at `url` and waits until it is ready.
    pub(crate) async fn start(context: &Context, url: &str, folder: &Path) -> anyhow::Result<Self> {
        let binary = context.daemon.clone();
        ensure!(binary.is_file(), "the daemon {} does not exist; `cargo xtask bench` builds it", binary.display());
        let port = free_port();
        let env = [
            ("TIDEGATE_STORE_URL", url.to_owned()),
            ("TIDEGATE_HTTP_LISTEN", format!("127.0.0.1:{port}")),
            ("TIDEGATE_ADMIN_TOKEN", TOKEN.to_owned()),
        ];
        let spec = DaemonSpec {
            binary,
            args: vec!["serve".to_owned()],
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            port,
            log_folder: folder.to_owned(),
            name: "daemon".to_owned(),
        };
        // `start` blocks its thread. Its panic message contains the log of the daemon.
        let daemon =
            tokio::task::spawn_blocking(move || Daemon::start(spec)).await.context("the daemon did not start")?;
        Ok(Self { daemon })
    }

    /// The process id of the daemon.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Terminates the daemon and waits for its exit.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let ended = tokio::task::spawn_blocking(move || self.daemon.terminate()).await?;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let host = format!("127.0.0.1:{}", self.daemon.port());
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // The task ends with the client or the daemon. A later request then fails.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Client { requests, host })
    }
}

impl Client {
    /// Sends one request and reads the response. Fails unless its status is a success.
    pub(crate) async fn send(&mut self, method: Method, path: &str, body: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        self.requests.ready().await?;
        let response = self.requests.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: status {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Deploys the app `bench` with the given scripts and triggers.
    pub(crate) async fn deploy(&mut self, scripts: &Value, triggers: &Value) -> anyhow::Result<()> {
        let app = serde_json::json!({"scripts": scripts, "triggers": triggers}).to_string();
        self.send(Method::PUT, "/v1/apps/bench", &app).await.map(drop)
    }
}
