//! From a configuration to a running daemon, and to its end.
//!
//! The listener comes first and the store after it, so that a database that is down delays the daemon and does not
//! end it: until then `/readyz` says why. At the end it is the other way round.

use super::config::ServerConfig;
use super::executor::HandlerExecutor;
use super::observer::LogObserver;
use super::store::{CannotOpen, Store};
use super::store_url::StoreUrl;
use crate::http::{ApiState, Readiness, app};
use crate::services::AdminPrincipalResolver;
use crate::services::Services;
use crate::services::{MeasuredStore, Metrics, MetricsObserver};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Boot, Incarnation, RngKey, View};
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive};
use tidegate_exec_script::{ScriptExecutor, World};
use tidegate_io_postgres::PgStore;
use tidegate_io_sqlite::SqliteStore;
use tidegate_ports::{InboxRegistry, ProcessClock, WakeHandle};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Why a daemon does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen ADDRESS:PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store cannot be used, now or later.
    #[error("the store cannot be opened: {0}")]
    Store(String),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(#[source] io::Error),
    /// The dispatcher ended although nobody asked it to.
    #[error("the dispatcher ended by itself: {0}")]
    Dispatcher(String),
}

/// Calls and commands that wait for the dispatcher to look.
const COMMANDS_MAX: usize = 1_024;
/// How long open requests may take to end.
const HTTP_GRACE: Duration = Duration::from_secs(5);
/// Beyond the dispatcher's own bound.
const DRIVER_GRACE: Duration = Duration::from_secs(5);
/// How long the store may take to write what was asked for.
const STORE_GRACE: Duration = Duration::from_secs(5);
/// Between two tries to open the store.
const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

/// Runs a daemon until `shutdown` completes and everything has ended. `on_listening` is told the bound address, when
/// `/healthz` answers already and the store may not.
pub async fn serve(
    config: ServerConfig,
    on_listening: impl FnOnce(SocketAddr) + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = config.listen;
    let listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let (readiness, ready) = watch::channel(Readiness::Unavailable("store: not open yet".to_owned()));
    let state = ApiState {
        readiness: ready,
        admin_token: config.admin_token.clone(),
        limits: config.http,
        scripts: config.scripts,
        native: config.native.clone(),
    };
    let bound = listener.local_addr().map_err(listen)?;
    let http = Http::start(listener, state, readiness);
    tracing::info!(http.address = %bound, "listening");
    on_listening(bound);
    match &config.store {
        StoreUrl::Sqlite(path) => run::<SqliteStore>(&config, path, http, shutdown).await,
        StoreUrl::Postgres(url) => run::<PgStore>(&config, url, http, shutdown).await,
    }
}

/// The store, the dispatcher on it, and their end.
async fn run<S: Store>(
    config: &ServerConfig,
    url: &S::Url,
    http: Http,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    tokio::pin!(shutdown);
    let store = tokio::select! {
        biased;
        () = &mut shutdown => return http.stop().await,
        opened = open::<S>(url, &http.readiness) => match opened {
            Ok(store) => Arc::new(store),
            Err(error) => return http.stop().await.and(Err(error)),
        },
    };
    let wake = WakeHandle::default();
    let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
    let (view, viewed) = watch::channel(View::default());
    let incarnation = Incarnation(uuid::Uuid::new_v4());
    let inboxes = InboxRegistry::new(incarnation);
    let caller = SyncCaller::new(commands.clone(), inboxes.clone());
    let gate = GateHandle::new(commands.clone(), viewed);
    let metrics = Metrics::default();
    let resolver = Arc::new(AdminPrincipalResolver::new(Arc::clone(&store) as _));
    let upkeep = tokio::spawn(metrics.clone().upkeep());
    let ports = DriverPorts {
        store: Arc::new(MeasuredStore { store: Arc::clone(&store), metrics: metrics.clone() }),
        executor: Arc::new(executor(config, &store, caller.clone(), Arc::clone(&resolver))),
        inboxes: Arc::new(inboxes),
        clock: Box::new(ProcessClock::start()),
        observer: Box::new(MetricsObserver { metrics: metrics.clone(), then: LogObserver::new(config.log) }),
        wake: wake.clone(),
        view,
    };
    let boot = Boot { incarnation, rng_key: RngKey(incarnation.0.as_u64_pair().1) };
    let mut driver = tokio::spawn(drive(config.dispatcher, boot, ports, commanded));
    let listening = tokio::spawn({
        let (store, wake) = (Arc::clone(&store), wake.clone());
        async move { store.listen(wake).await }
    });
    http.readiness.send_replace(Readiness::Ready(Arc::new(Services::on(
        &store,
        Arc::clone(&store) as _,
        wake,
        caller,
        gate,
        metrics,
        resolver,
    ))));
    tracing::info!("ready");
    let result = tokio::select! {
        biased;
        ended = &mut driver => {
            let why = ended.map_or_else(|error| error.to_string(), |()| "it was not asked to".to_owned());
            http.refuse_more();
            Err(ServeError::Dispatcher(why))
        }
        () = &mut shutdown => {
            http.refuse_more();
            commands.send(Command::Shutdown).await.ok();
            let bound = Duration::from_micros(config.dispatcher.shutdown_grace().0) + DRIVER_GRACE;
            match tokio::time::timeout(bound, &mut driver).await {
                Ok(ended) => ended.map_err(|error| ServeError::Dispatcher(error.to_string())),
                Err(_) => {
                    tracing::warn!("the dispatcher did not end in time; what it holds comes back when its leases run out");
                    driver.abort();
                    Ok(())
                }
            }
        }
    };
    listening.abort();
    upkeep.abort();
    // Requests that are still open need the store.
    let stopped = http.stop().await;
    if tokio::time::timeout(STORE_GRACE, store.close()).await.is_err() {
        tracing::warn!("the store did not close in time");
    }
    result.and(stopped)
}

/// Opens the store, however long that takes, unless it will never open: said once when it fails, and once when it is
/// there.
async fn open<S: Store>(url: &S::Url, readiness: &watch::Sender<Readiness>) -> Result<S, ServeError> {
    let (mut pause, mut failed) = (STORE_RETRY_MIN, false);
    loop {
        match S::open(url).await {
            Ok(store) => {
                if failed {
                    tracing::info!("the store is there");
                }
                return Ok(store);
            }
            Err(CannotOpen::Ever(reason)) => return Err(ServeError::Store(reason)),
            Err(CannotOpen::Now(reason)) => {
                if !failed {
                    tracing::warn!("the store cannot be opened, trying again: {reason}");
                }
                failed = true;
                readiness.send_replace(Readiness::Unavailable(format!("store: {reason}")));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(STORE_RETRY_MAX);
            }
        }
    }
}

fn executor<S: Store>(
    config: &ServerConfig,
    store: &Arc<S>,
    caller: SyncCaller,
    resolver: Arc<AdminPrincipalResolver>,
) -> HandlerExecutor {
    let world = World {
        scripts: Arc::clone(store) as _,
        triggers: Arc::clone(store) as _,
        kv: Arc::clone(store) as _,
        principals: Arc::clone(&resolver) as _,
    };
    HandlerExecutor {
        scripts: ScriptExecutor::new(world, config.scripts),
        resolver,
        native: config.native.clone(),
        caller,
    }
}

/// The HTTP server as a task of its own.
struct Http {
    readiness: watch::Sender<Readiness>,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Http {
    fn start(listener: TcpListener, state: ApiState, readiness: watch::Sender<Readiness>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let server = axum::serve(listener, app(state)).with_graceful_shutdown(async move {
            // A dropped sender means the same.
            stopped.wait_for(|stop| *stop).await.ok();
        });
        Self { readiness, stop, task: tokio::spawn(server.into_future()) }
    }

    /// Says so at `/readyz` and accepts no more connections.
    fn refuse_more(&self) {
        self.readiness.send_replace(Readiness::ShuttingDown);
        self.stop.send_replace(true);
    }

    async fn stop(self) -> Result<(), ServeError> {
        self.refuse_more();
        let abort = self.task.abort_handle();
        match tokio::time::timeout(HTTP_GRACE, self.task).await {
            Ok(Ok(result)) => result.map_err(ServeError::Http),
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                // Whoever is still connected keeps an idle connection open, or waits for an answer that will not come.
                abort.abort();
                Ok(())
            }
        }
    }
}
