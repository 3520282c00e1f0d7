//! Values that a script returns: each is a reply, or a failure of the script.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tidegate_core::*;
use tidegate_exec_script::{Limits, ScriptExecutor, World};
use tidegate_io_sim::SharedMemory;
use tidegate_ports::{AppStore, Deployment, DeploymentScript, Executor, StartWait};
use tokio::runtime::{Builder, Runtime};

/// The reply is the value of an expression.
const SCRIPT: &str = "export default (request) => (0, eval)(`(${request.text()})`)";

struct Fixture {
    runtime: Runtime,
    executor: ScriptExecutor,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let memory = Arc::new(SharedMemory::new(|| Timestamp(1_000_000)));
    let name = ScriptName::new("s").expect("a valid name");
    let scripts = vec![DeploymentScript { name, source: SCRIPT.to_owned() }];
    let deployment = Deployment { scripts, triggers: Vec::new(), renames: Default::default() };
    let admin = PrincipalId::new("admin").expect("a valid name");
    runtime.block_on(AppStore::deploy(&*memory, &app(), &deployment, &admin)).expect("the script is deployed");
    let resolver = Arc::new(tidegate::services::AdminPrincipalResolver::new(Arc::clone(&memory) as _));
    let world = World {
        scripts: Arc::clone(&memory) as _,
        triggers: Arc::clone(&memory) as _,
        kv: Arc::clone(&memory) as _,
        principals: resolver as _,
    };
    let limits = Limits { cpu_ms_max: 50, memory_bytes_max: 8 << 20, ..Limits::default() };
    Fixture { runtime, executor: ScriptExecutor::new(world, limits, Duration::from_secs(5)) }
});

fn app() -> AppName {
    AppName::new("a").expect("a valid name")
}

/// A sync call of the script by HTTP.
fn delivery(text: &str) -> Delivery {
    let json = serde_json::json!({
        "id": 1, "trigger_id": 1, "trigger_name": "t", "trigger_version": 1,
        "event": {
            "id": uuid::Uuid::from_u128(1), "app": "a", "source": "http", "type": "http.request", "subject": "POST /x",
            "time": 0, "actor": "admin", "root_id": uuid::Uuid::from_u128(1), "parent_id": null, "depth": 0,
            "traceparent": null,
            "data": {"method": "POST", "path": "/x", "query": {}, "params": {}, "headers": {}, "body": text, "principal": null},
        },
        "handler": {"script": "s"}, "script_version": null, "runs_as": "admin", "standing": "allowed", "policy": {},
        "timeout": 100_000, "attempt": 1, "lost": 0, "lease": 1, "due_at": 0, "enqueued_at": 0, "redrive_generation": 0,
        "reply_to": {"incarnation": uuid::Uuid::from_u128(1), "seq": 1}, "handles_letter": null,
    });
    serde_json::from_value(json).expect("a valid delivery")
}

fuzz_target!(|text: &str| {
    if text.contains('\0') || text.len() > 4_096 {
        return;
    }
    let delivery = Arc::new(delivery(text));
    let outcome = FIXTURE.runtime.block_on(FIXTURE.executor.execute(delivery, &StartWait::begin()));
    match outcome {
        Outcome::Succeeded { reply: Some(_), .. } => {}
        Outcome::Succeeded { reply: None, .. } => panic!("a call has a reply"),
        Outcome::Failed(failure) => assert_ne!(failure.error, ExecError::Internal, "{failure:?}"),
        other => panic!("{other:?}"),
    }
});
