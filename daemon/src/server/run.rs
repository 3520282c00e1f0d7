//! The life of a daemon, from its configuration to its end.
//!
//! The listener starts before the store is open. A database that is down delays the daemon but does
//! not end it, and `/readyz` reports the reason. At the end, the store closes after the listener.

use super::config::ServerConfig;
use super::dispatcher::RunningDispatcher;
use super::error::ServeError;
use super::http_server::HttpServer;
use super::open_files;
use super::store::{OpenFailure, Store};
use super::store_url::StoreUrl;
use crate::http::{ApiState, ConnectionLimits, Logins, Readiness};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The longest wait for the store at shutdown, to finish its pending writes.
const STORE_GRACE: Duration = Duration::from_secs(5);
/// The pause between attempts to open the store doubles from the first to the second value.
const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

/// The reason of `/readyz` and of refusals while the store cannot be opened. The log has the cause,
/// which may name files, hosts and roles.
const NOT_OPEN: &str = "store: it cannot be opened yet; the log of the daemon has the reason";

/// Runs a daemon until `shutdown` completes and all tasks have ended.
///
/// `on_listening` gets the bound address. At that time `/healthz` answers, but the store may not be
/// open.
pub async fn serve(
    config: ServerConfig,
    on_listening: impl FnOnce(SocketAddr) + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = config.listen;
    let listen_error = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let (readiness, ready) = watch::channel(Readiness::Unavailable("store: not open yet".to_owned()));
    let state = ApiState {
        readiness: ready,
        admin_token: config.admin_token.clone(),
        limits: config.http,
        scripts: config.scripts,
        native: config.native.clone(),
        logins: Logins::default(),
    };
    let bound = listener.local_addr().map_err(listen_error)?;
    let http = HttpServer::start(listener, bound, state, connection_limits(&config), readiness);
    tracing::info!(http.address = %bound, "listening");
    on_listening(bound);
    match &config.store {
        StoreUrl::Sqlite(path) => run::<SqliteStore>(&config, path, http, shutdown).await,
        StoreUrl::Postgres(url) => run::<PgStore>(&config, url, http, shutdown).await,
    }
}

/// Opens the store, runs a dispatcher on it until the shutdown, and closes the store.
async fn run<S: Store>(
    config: &ServerConfig,
    url: &S::Url,
    http: HttpServer,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    tokio::pin!(shutdown);
    let store = tokio::select! {
        biased;
        () = &mut shutdown => {
            http.stop().await;
            return Ok(());
        }
        opened = open::<S>(url, config, &http) => match opened {
            Ok(store) => Arc::new(store),
            Err(error) => {
                http.stop().await;
                return Err(error);
            }
        },
    };
    let (mut dispatcher, services) = RunningDispatcher::start(config, &store);
    http.set_readiness(Readiness::Ready(Arc::new(services)));
    tracing::info!("ready");
    let result = tokio::select! {
        biased;
        error = dispatcher.failure() => {
            http.refuse_more();
            Err(error)
        }
        () = &mut shutdown => {
            http.refuse_more();
            dispatcher.shut_down().await
        }
    };
    drop(dispatcher);
    // Open requests need the store, so it closes after them.
    http.stop().await;
    if tokio::time::timeout(STORE_GRACE, store.close()).await.is_err() {
        tracing::warn!("the store did not close within {} s", STORE_GRACE.as_secs());
    }
    result
}

/// The configured limits, lowered to the files that the process may open.
fn connection_limits(config: &ServerConfig) -> ConnectionLimits {
    let (set, possible) = (config.connections.connections_max, open_files::raise_limit());
    if possible < set {
        tracing::warn!(
            "http.connections_max is lowered from {set} to {possible}, because the process may open too few files; \
             raise the limit with `ulimit -n` or LimitNOFILE"
        );
    }
    ConnectionLimits { connections_max: set.min(possible), ..config.connections }
}

/// Opens the store. Tries again until it succeeds, unless the failure is permanent. Logs the first
/// failure and the success after it.
async fn open<S: Store>(url: &S::Url, config: &ServerConfig, http: &HttpServer) -> Result<S, ServeError> {
    let (mut pause, mut has_failed) = (STORE_RETRY_MIN, false);
    loop {
        match S::open(url, config, &http.daemon_name()).await {
            Ok(store) => {
                if has_failed {
                    tracing::info!("the store is open");
                }
                return Ok(store);
            }
            Err(OpenFailure::Permanent(reason)) => return Err(ServeError::Store(reason)),
            Err(OpenFailure::Temporary(reason)) => {
                if !has_failed {
                    tracing::warn!("the store cannot be opened, trying again: {}", reason.report());
                }
                has_failed = true;
                http.set_readiness(Readiness::Unavailable(NOT_OPEN.to_owned()));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(STORE_RETRY_MAX);
            }
        }
    }
}
