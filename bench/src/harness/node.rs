//! One daemon's inside, in this process: the real driver on the real store, with an executor of the bench's own, on a
//! runtime of its own with as many threads as the daemon has.

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

/// A store, and a dispatcher on it once [`Node::dispatch`] was called.
#[derive(Debug)]
pub struct Node<S> {
    /// For emitting and for looking.
    pub store: Arc<S>,
    /// Wakes its dispatcher, as the daemon does after an emit of its own.
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

/// Longer than a dispatcher's own grace.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// As many as the daemon has.
const COMMANDS_MAX: usize = 1_024;

impl<S: Store> Node<S> {
    /// Opens the store at `place`; nothing is dispatched yet.
    pub async fn open(place: &S::Place) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().enable_all().thread_name("node").build()?;
        let opening = runtime.spawn(S::open(place.clone()));
        let opened = opening.await.context("the store panicked while it was opened").flatten();
        // A runtime that is simply dropped would wait, and that is refused where futures run.
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

    /// Begins to claim and to execute.
    ///
    /// # Panics
    ///
    /// If it was begun already.
    pub fn dispatch<E: Executor>(&mut self, config: Config, executor: Arc<E>, observer: impl Observer) {
        assert!(self.dispatcher.is_none(), "a node has one dispatcher");
        OutboxStore::attach(&*self.store, self.wake.clone());
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
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
        let runtime = self.runtime.as_ref().expect("it lives until the node is stopped");
        let driver = runtime.spawn(drive(config, boot, ports, commanded));
        let (store, wake) = (Arc::clone(&self.store), self.wake.clone());
        let listening = runtime.spawn(async move { store.listen(wake).await });
        self.dispatcher = Some(Dispatcher { commands, driver, listening });
    }

    /// Does something with the store where the node's own work is done: a connection belongs to the runtime that made it,
    /// and one of another runtime would cost the dispatcher a detour for each answer.
    pub async fn within<T: Send + 'static, F>(&self, work: impl FnOnce(Arc<S>) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.spawn(work(Arc::clone(&self.store))).await.context("the work on the store panicked")?
    }

    /// Runs `future` where the node's own work runs.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("it lives until the node is stopped").spawn(future)
    }

    /// Finishes what runs, settles it, and closes the store.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.commands.send(Command::Shutdown).await.ok();
            dispatcher.listening.abort();
            let ended = tokio::time::timeout(STOP_WITHIN, dispatcher.driver).await;
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
