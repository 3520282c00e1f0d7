use crate::http::{ApiState, ConnectionLimits, Readiness, app, serve_api};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest wait for open requests at shutdown.
const HTTP_GRACE: Duration = Duration::from_secs(5);

/// The HTTP server, which runs in its own task.
pub(super) struct HttpServer {
    readiness: watch::Sender<Readiness>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    address: SocketAddr,
}

impl HttpServer {
    /// Starts to accept connections at `address`. `readiness` is the sending end of the readiness
    /// in `state`.
    pub(super) fn start(
        listener: TcpListener,
        address: SocketAddr,
        state: ApiState,
        connections: ConnectionLimits,
        readiness: watch::Sender<Readiness>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve_api(listener, app(state), connections, stopped));
        Self { readiness, stop, task, address }
    }

    /// A name that no other process of this machine has while this one runs, and that this daemon
    /// has again when it starts again with the same address.
    pub(super) fn daemon_name(&self) -> String {
        let machine = rustix::system::uname();
        format!("{}/{}", machine.nodename().to_string_lossy(), self.address)
    }

    pub(super) fn set_readiness(&self, readiness: Readiness) {
        self.readiness.send_replace(readiness);
    }

    /// Accepts no more connections. `/readyz` reports the shutdown on open ones.
    pub(super) fn refuse_more(&self) {
        self.set_readiness(Readiness::ShuttingDown);
        self.stop.send_replace(true);
    }

    /// Waits up to `HTTP_GRACE` for open requests, then closes their connections.
    pub(super) async fn stop(mut self) {
        self.refuse_more();
        if tokio::time::timeout(HTTP_GRACE, &mut self.task).await.is_err() {
            // The connections left wait for an answer that will not come.
            self.task.abort();
        }
    }
}
