//! The API on a store in memory, called without a socket.

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate::NativeHandlers;
use tidegate::http::{AdminToken, ApiState, HttpLimits, Logins, Readiness, app};
use tidegate::services::{
    AdminPrincipalResolver, DispatcherHandles, Health, Metrics, Retention, ScriptThreads, Services, ThreadState,
};
use tidegate_core::{Effects, Incarnation, Outcome, StoreError, StoreErrorKind, Timestamp, View};
use tidegate_driver::{GateHandle, SyncCaller};
use tidegate_exec_script::Limits;
use tidegate_io_sim::SharedMemory;
use tidegate_ports::{InboxRegistry, WakeHandle};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "tg_of_the_router_tests_0123456789";
/// The time of the store's clock: 2026-01-02T03:04:05.000006Z.
pub(crate) const NOW: Timestamp = Timestamp(1_767_323_045_000_006);
pub(crate) const NOW_TEXT: &str = "2026-01-02T03:04:05.000006Z";
/// A script that compiles and has no effects.
pub(crate) const FINE: &str = "export default async function () {}\n";
/// Small limits, so that tests send short bodies.
pub(crate) const LIMITS: HttpLimits =
    HttpLimits { body_bytes_max: 4_096, data_bytes_max: 256, body_timeout: Duration::from_secs(60) };

/// The name and the value of a header.
pub(crate) type Header<'a> = (&'a str, &'a str);

/// The API with its store, its readiness and its clock.
pub(crate) struct Api {
    pub(crate) memory: SharedMemory,
    pub(crate) readiness: watch::Sender<Readiness>,
    pub(crate) services: Services,
    pub(crate) health: Arc<Pings>,
    pub(crate) threads: Arc<Threads>,
    router: Router,
    runtime: Runtime,
    clock: Arc<AtomicI64>,
}

/// The threads of the executor. Tests set their state.
#[derive(Default)]
pub(crate) struct Threads(pub(crate) Mutex<ThreadState>);

impl ScriptThreads for Threads {
    fn state(&self) -> ThreadState {
        self.0.lock().unwrap().clone()
    }
}

/// The health of the store. Tests set `is_down`.
#[derive(Default)]
pub(crate) struct Pings {
    pub(crate) is_down: AtomicBool,
    pub(crate) pings: Mutex<u32>,
}

#[async_trait]
impl Health for Pings {
    async fn ping(&self) -> Result<(), StoreError> {
        *self.pings.lock().unwrap() += 1;
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::not_applied(StoreErrorKind::Unavailable, "no answer"));
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks the status and returns the body as JSON. An empty body is `null`.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks the form, the status and the code of a problem, and returns its detail.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> String {
        let json = self.json();
        let found = (self.status, json["code"].as_str(), self.header("tidegate-code"), self.header("content-type"));
        assert_eq!(found, (status, Some(code), Some(code), Some("application/problem+json")), "{self:?}");
        assert_eq!((&json["type"], &json["status"]), (&json!("about:blank"), &json!(status)), "{self:?}");
        assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()), "{self:?}");
        json["detail"].as_str().unwrap_or_else(|| panic!("no detail in {self:?}")).to_owned()
    }
}

impl Api {
    /// An API with the app `shop`, which has the script `fine` and no triggers.
    pub(crate) fn new() -> Self {
        let api = Self::empty();
        api.put("/v1/apps/shop", json!({"scripts": [{"name": "fine", "source": FINE}]})).expect_status(200);
        api
    }

    /// An API without apps.
    pub(crate) fn empty() -> Self {
        let clock = Arc::new(AtomicI64::new(NOW.0));
        let memory = SharedMemory::new({
            let clock = Arc::clone(&clock);
            move || Timestamp(clock.load(Ordering::Relaxed))
        });
        let health = Arc::new(Pings::default());
        // There is no dispatcher. Tests that need one run a whole daemon.
        let (commands, _) = mpsc::channel(1);
        let (_, view) = watch::channel(View::default());
        let caller = SyncCaller::new(commands.clone(), InboxRegistry::new(Incarnation(uuid::Uuid::nil())));
        let gate = GateHandle::new(commands, view);
        let wake = WakeHandle::default();
        let resolver = Arc::new(AdminPrincipalResolver::new(Arc::new(memory.clone())));
        let threads = Arc::new(Threads::default());
        let services = Services::on(
            &Arc::new(memory.clone()),
            Arc::clone(&health) as _,
            DispatcherHandles { wake, caller, gate, threads: Arc::clone(&threads) as _ },
            Metrics::default(),
            resolver,
            Retention::default(),
        );
        let (readiness, ready) = watch::channel(Readiness::Ready(Arc::new(services.clone())));
        let noop = |_| async { Outcome::Succeeded { effects: Effects::default(), reply: None } };
        let router = app(ApiState {
            readiness: ready,
            admin_token: AdminToken::new(TOKEN),
            limits: LIMITS,
            scripts: Limits::default(),
            native: NativeHandlers::default().with("noop", noop),
            logins: Logins::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { memory, readiness, services, health, threads, router, runtime, clock }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Advances the clock of the store.
    pub(crate) fn advance(&self, micros: i64) {
        self.clock.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sends one request as the admin.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[Header], body: impl Into<Body>) -> Answer {
        let authorization = format!("Bearer {TOKEN}");
        let request = Request::builder().method(method).uri(path).header("authorization", authorization);
        self.raw(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)), body)
    }

    /// Sends one request without adding a header.
    pub(crate) fn raw(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
        let request = request.body(body.into()).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            let text = String::from_utf8(bytes.into()).unwrap();
            Answer { status: parts.status.as_u16(), headers: parts.headers, text }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], body.to_string())
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "")
    }

    /// All state that a request could change.
    pub(crate) fn state(&self) -> Vec<Value> {
        let of_app = ["/triggers", "/scripts", "/kv/c", "/deliveries", "/dead-letters"];
        let paths = of_app.iter().map(|rest| format!("/v1/apps/shop{rest}"));
        std::iter::once("/v1/apps".to_owned()).chain(paths).map(|path| self.get(&path).expect_status(200)).collect()
    }
}
