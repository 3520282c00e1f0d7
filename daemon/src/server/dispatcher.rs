use super::config::ServerConfig;
use super::error::ServeError;
use super::executor::HandlerExecutor;
use super::observer::LogObserver;
use super::store::Store;
use crate::services::{AdminPrincipalResolver, DispatcherHandles, MeasuredStore, Metrics, MetricsObserver, Services};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Boot, Incarnation, RngKey, View};
use tidegate_driver::{Command, DriverPorts, GateHandle, SyncCaller, drive};
use tidegate_exec_script::{ScriptExecutor, World};
use tidegate_ports::{InboxRegistry, ProcessClock, WakeHandle};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};

/// The most calls and commands in the queue before the dispatcher.
const COMMANDS_MAX: usize = 1_024;
/// The wait for the driver at shutdown, after the `shutdown_grace_ms` of the dispatcher itself.
const DRIVER_GRACE: Duration = Duration::from_secs(5);

/// A dispatcher on a store, driven by its own task, with the tasks that serve it.
pub(super) struct RunningDispatcher {
    driver: JoinHandle<()>,
    commands: mpsc::Sender<Command>,
    /// The longest wait for the driver at shutdown.
    shutdown_max: Duration,
    /// Passes the notifications of other processes on to the dispatcher.
    listener: JoinHandle<()>,
    metrics_upkeep: JoinHandle<()>,
    janitor: JoinHandle<()>,
}

impl RunningDispatcher {
    /// Starts a dispatcher. The services write to the same store and wake this dispatcher.
    pub(super) fn start<S: Store>(config: &ServerConfig, store: &Arc<S>) -> (Self, Services) {
        let wake = WakeHandle::default();
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (view, views) = watch::channel(View::default());
        let incarnation = Incarnation(uuid::Uuid::new_v4());
        let inboxes = InboxRegistry::new(incarnation);
        let caller = SyncCaller::new(commands.clone(), inboxes.clone());
        let gate = GateHandle::new(commands.clone(), views);
        let metrics = Metrics::default();
        let resolver = Arc::new(AdminPrincipalResolver::new(Arc::clone(store) as _));
        let metrics_upkeep = tokio::spawn(metrics.clone().upkeep());
        let scripts = Arc::new(script_executor(config, store, &resolver));
        let ports = DriverPorts {
            store: Arc::new(MeasuredStore { store: Arc::clone(store), metrics: metrics.clone() }),
            executor: Arc::new(HandlerExecutor {
                scripts: Arc::clone(&scripts),
                native: config.native.clone(),
                caller: caller.clone(),
                resolver: Arc::clone(&resolver),
            }),
            inboxes: Arc::new(inboxes),
            clock: Box::new(ProcessClock::start()),
            observer: Box::new(MetricsObserver { metrics: metrics.clone(), then: LogObserver::new(config.log) }),
            wake: wake.clone(),
            view,
        };
        let boot = Boot { incarnation, rng_key: RngKey(incarnation.0.as_u64_pair().1) };
        let driver = tokio::spawn(drive(config.dispatcher, boot, ports, command_queue));
        let listener = tokio::spawn({
            let (store, wake) = (Arc::clone(store), wake.clone());
            async move { store.listen(wake).await }
        });
        let handles = DispatcherHandles { wake, caller, gate, threads: scripts };
        let services = Services::on(store, Arc::clone(store) as _, handles, metrics, resolver, config.retention);
        let janitor = tokio::spawn(services.janitor.clone().run());
        let shutdown_max = Duration::from_micros(config.dispatcher.shutdown_grace().0) + DRIVER_GRACE;
        (Self { driver, commands, shutdown_max, listener, metrics_upkeep, janitor }, services)
    }

    /// Waits until the dispatcher ends without a shutdown command, which is an error.
    pub(super) async fn failure(&mut self) -> ServeError {
        let ended = (&mut self.driver).await;
        ServeError::Dispatcher(
            ended.map_or_else(|error| error.to_string(), |()| "no shutdown was requested".to_owned()),
        )
    }

    /// Lets the running executions end and settles them.
    pub(super) async fn shut_down(&mut self) -> Result<(), ServeError> {
        self.commands.send(Command::Shutdown).await.ok();
        match tokio::time::timeout(self.shutdown_max, &mut self.driver).await {
            Ok(ended) => ended.map_err(|error: JoinError| ServeError::Dispatcher(error.to_string())),
            Err(_) => {
                tracing::warn!(
                    "the dispatcher did not end in time; its deliveries are tried again when their leases expire"
                );
                self.driver.abort();
                Ok(())
            }
        }
    }
}

impl Drop for RunningDispatcher {
    fn drop(&mut self) {
        self.listener.abort();
        self.metrics_upkeep.abort();
        self.janitor.abort();
    }
}

fn script_executor<S: Store>(
    config: &ServerConfig,
    store: &Arc<S>,
    resolver: &Arc<AdminPrincipalResolver>,
) -> ScriptExecutor {
    let world = World {
        scripts: Arc::clone(store) as _,
        triggers: Arc::clone(store) as _,
        kv: Arc::clone(store) as _,
        principals: Arc::clone(resolver) as _,
    };
    ScriptExecutor::new(world, config.scripts, Duration::from_micros(config.dispatcher.start_wait_max().0))
}
