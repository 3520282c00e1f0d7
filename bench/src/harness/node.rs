//! The inside of one daemon in this process: the real driver on the real store, with an executor of
//! the benchmark. It has its own runtime with as many threads as the daemon has.

use super::store::Store;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Boot, Config, Incarnation, RngKey, View};
use tidegate_driver::{Command, DriverPorts, drive};
use tidegate_ports::{Executor, NoopInboxResolver, Observer, OutboxStore, ProcessClock, WakeHandle};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// A store. [`Node::dispatch`] starts a dispatcher on it.
#[derive(Debug)]
pub struct Node<S> {
    /// The store, for emits and queries.
    pub store: Arc<S>,
    /// Wakes the dispatcher, as the daemon does after an emit.
    pub wake: WakeHandle,
    dispatcher: Option<Dispatcher>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Dispatcher {
    commands: mpsc::Sender<Command>,
    driver: JoinHandle<()>,
    listening: JoinHandle<()>,
}

/// Longer than the time that a dispatcher takes for a clean stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// The size of the command queue in the daemon.
const COMMANDS_MAX: usize = 1_024;

impl<S: Store> Node<S> {
    /// Opens the store at `place` without a dispatcher.
    pub async fn open(place: &S::Place) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().thread_name("node").build()?;
        let opening = runtime.spawn(S::open(place.clone()));
        let opened = opening.await.context("the store panicked while it was opened").flatten();
        // A plain drop of a runtime blocks, and tokio panics if that happens in a task.
        match opened {
            Ok(store) => Ok(Self {
                store: Arc::new(store),
                wake: WakeHandle::default(),
                dispatcher: None,
                runtime: Some(runtime),
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Starts a dispatcher.
    ///
    /// # Panics
    ///
    /// If the node has a dispatcher already.
    pub fn dispatch<E: Executor>(&mut self, config: Config, executor: Arc<E>, observer: impl Observer) {
        assert!(self.dispatcher.is_none(), "a node has one dispatcher");
        OutboxStore::attach(&*self.store, self.wake.clone());
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (view, _) = watch::channel(View::default());
        let incarnation = Incarnation(uuid::Uuid::new_v4());
        let ports = DriverPorts {
            store: Arc::clone(&self.store),
            executor,
            inboxes: Arc::new(NoopInboxResolver),
            clock: Box::new(ProcessClock::start()),
            observer: Box::new(observer),
            wake: self.wake.clone(),
            view,
        };
        let boot = Boot { incarnation, rng_key: RngKey(incarnation.0.as_u64_pair().1) };
        let runtime = self.runtime.as_ref().expect("only `stop` and `drop` take the runtime");
        let driver = runtime.spawn(drive(config, boot, ports, command_queue));
        let (store, wake) = (Arc::clone(&self.store), self.wake.clone());
        let listening = runtime.spawn(async move { store.listen(wake).await });
        self.dispatcher = Some(Dispatcher { commands, driver, listening });
    }

    /// Runs `work` with the store on the runtime of the node. A connection belongs to the runtime
    /// that opened it, and a connection of another runtime would slow down every answer to the
    /// dispatcher.
    pub async fn within<T: Send + 'static, F>(&self, work: impl FnOnce(Arc<S>) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.spawn(work(Arc::clone(&self.store))).await.context("the work on the store panicked")?
    }

    /// Runs `future` on the runtime of the node.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("only `stop` and `drop` take the runtime").spawn(future)
    }

    /// Waits for running handlers, settles their deliveries, and closes the store.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.commands.send(Command::Shutdown).await.ok();
            dispatcher.listening.abort();
            let ended = tokio::time::timeout(STOP_MAX, dispatcher.driver).await;
            ended.context("the dispatcher did not stop in time")?.context("the dispatcher panicked")?;
        }
        let store = Arc::clone(&self.store);
        self.spawn(async move { store.close().await }).await.context("the store panicked while it was closed")
    }
}

impl<S> Drop for Node<S> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
