//! Bytes on a connection: each request gets an answer, and none is an internal error.
#![no_main]

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tidegate::NativeHandlers;
use tidegate::http::{AdminToken, ApiState, HttpLimits, Logins, Readiness, app};
use tidegate::services::{
    AdminPrincipalResolver, DispatcherHandles, Health, Metrics, Retention, ScriptThreads, Services, ThreadState,
};
use tidegate_core::{Incarnation, StoreError, Timestamp, View};
use tidegate_driver::{GateHandle, SyncCaller};
use tidegate_exec_script::Limits;
use tidegate_io_sim::SharedMemory;
use tidegate_ports::{InboxRegistry, WakeHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

const TOKEN: &str = "tg_of_the_fuzzer_0123456789abcdef";
const LIMITS: HttpLimits =
    HttpLimits { body_bytes_max: 4_096, body_timeout: Duration::from_secs(5), data_bytes_max: 256 };

struct Ready;

#[async_trait::async_trait]
impl Health for Ready {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct NoThreads;

impl ScriptThreads for NoThreads {
    fn state(&self) -> ThreadState {
        ThreadState::default()
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime starts"));

/// The API on an empty store in memory, without a dispatcher.
fn state() -> ApiState {
    let memory = SharedMemory::new(|| Timestamp(1_767_323_045_000_006));
    let (commands, _) = mpsc::channel(1);
    let (_, view) = watch::channel(View::default());
    let caller = SyncCaller::new(commands.clone(), InboxRegistry::new(Incarnation(uuid::Uuid::nil())));
    let gate = GateHandle::new(commands, view);
    let resolver = Arc::new(AdminPrincipalResolver::new(Arc::new(memory.clone())));
    let handles = DispatcherHandles { wake: WakeHandle::default(), caller, gate, threads: Arc::new(NoThreads) };
    let services =
        Services::on(&Arc::new(memory), Arc::new(Ready), handles, Metrics::default(), resolver, Retention::default());
    let (_, readiness) = watch::channel(Readiness::Ready(Arc::new(services)));
    let (admin_token, native) = (AdminToken::new(TOKEN), NativeHandlers::default());
    ApiState { readiness, admin_token, limits: LIMITS, scripts: Limits::default(), native, logins: Logins::default() }
}

fuzz_target!(|bytes: &[u8]| {
    let answer = RUNTIME.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(app(state()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let talk = async {
            client.write_all(bytes).await.ok();
            client.shutdown().await.ok();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.ok();
            answer
        };
        let both = async { tokio::join!(connection, talk).1 };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("a connection ends after its last byte")
    });
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("HTTP/1.1 500"), "an internal error: {answer}");
});
