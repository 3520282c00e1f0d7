use super::error::ServeError;
use crate::http::{ApiState, Connection, Readiness, ReplyListener, app};
use std::io;
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
    task: JoinHandle<io::Result<()>>,
    address: SocketAddr,
}

impl HttpServer {
    /// Starts to accept connections at `address`. `readiness` is the sending end of the readiness
    /// in `state`.
    pub(super) fn start(
        listener: TcpListener,
        address: SocketAddr,
        state: ApiState,
        readiness: watch::Sender<Readiness>,
    ) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let service = app(state).into_make_service_with_connect_info::<Connection>();
        let server = axum::serve(ReplyListener(listener), service).with_graceful_shutdown(async move {
            // An error means that the sender is dropped, which stops the server, too.
            stopped.wait_for(|stop| *stop).await.ok();
        });
        Self { readiness, stop, task: tokio::spawn(server.into_future()), address }
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
    pub(super) async fn stop(self) -> Result<(), ServeError> {
        self.refuse_more();
        let abort = self.task.abort_handle();
        match tokio::time::timeout(HTTP_GRACE, self.task).await {
            Ok(Ok(result)) => result.map_err(ServeError::Http),
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                // The connections left are idle, or wait for an answer that will not come.
                abort.abort();
                Ok(())
            }
        }
    }
}
