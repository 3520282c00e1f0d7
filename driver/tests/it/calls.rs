//! Sync calls through the loop: each caller gets its reply, and a caller that is gone is recorded.

use crate::PATIENCE;
use crate::fake::{Script, World};
use std::time::Duration;
use tidegate_core::{
    AbandonCause, AppName, Cause, ConfigSpec, Ending, EventType, ExecError, Fact, GateLimits, Json, NewEvent,
    PrincipalId, Subject, SyncReply, SyncTarget, TriggerId, Verdict,
};
use tidegate_driver::{Command, DispatcherEnded, SyncCaller};
use tokio::time::timeout;

async fn call(caller: SyncCaller) -> Result<SyncReply, DispatcherEnded> {
    let event = NewEvent {
        event_type: EventType::new("invoke").unwrap(),
        subject: Subject::new("s").unwrap(),
        data: Json::null(),
    };
    let cause = Cause::outside(PrincipalId::new("admin").unwrap());
    timeout(
        PATIENCE,
        caller.call(SyncTarget::Trigger { app: AppName::new("orders").unwrap(), id: TriggerId(1) }, event, cause),
    )
    .await
    .expect("the call is answered within PATIENCE")
}

fn error_of(reply: &Result<SyncReply, DispatcherEnded>) -> Option<ExecError> {
    reply.as_ref().ok()?.result.as_ref().err().map(|failure| failure.error)
}

fn without_polls() -> ConfigSpec {
    ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }
}

#[tokio::test]
async fn a_call_gets_its_reply_and_its_row_is_deleted() {
    let mut world = World::start(without_polls(), Script::Succeed);
    let reply = call(world.caller.clone()).await.unwrap();
    assert_eq!((reply.execution.is_some(), reply.result), (true, Ok(None)));
    assert!(matches!(world.ending().await, Ending::Replied { .. }));
    let settled = world.store.settled();
    assert!(matches!(settled[..], [Verdict::Executed { .. }, Verdict::Replied]), "{settled:?}");
}

#[tokio::test]
async fn concurrent_calls_each_get_their_own_reply() {
    let world = World::start(without_polls(), Script::Sleep(Duration::from_millis(5)));
    let calls: Vec<_> = (0..200).map(|_| tokio::spawn(call(world.caller.clone()))).collect();
    let mut rows = std::collections::BTreeSet::new();
    for call in calls {
        assert!(rows.insert(call.await.unwrap().unwrap().execution));
    }
}

#[tokio::test]
async fn a_call_is_abandoned_and_its_handler_goes_on_when_the_caller_is_gone() {
    let mut world = World::start(without_polls(), Script::Sleep(Duration::from_millis(200)));
    let caller = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    caller.abort();
    assert_eq!(world.ending().await, Ending::Abandoned { cause: AbandonCause::CallerGone });
    assert_eq!(world.dropped_executions(), 0);
}

#[tokio::test]
async fn a_queued_call_is_refused_when_its_caller_is_gone() {
    let config = ConfigSpec { gate: GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 }, ..without_polls() };
    let mut world = World::start(config, Script::Sleep(Duration::from_millis(300)));
    let first = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    let second = tokio::spawn(call(world.caller.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    second.abort();
    let refusal = |fact: &Fact| matches!(fact, Fact::CallRefused { failure: None, .. }).then_some(());
    world.fact(refusal).await_some().await;
    assert!(first.await.unwrap().unwrap().result.is_ok());
}

#[tokio::test]
async fn a_shutdown_answers_running_and_queued_calls() {
    let config = ConfigSpec { gate: GateLimits { permits: 1, sync_reserve: 0, async_reserve: 0 }, ..without_polls() };
    let mut world = World::start(config, Script::Sleep(Duration::from_millis(100)));
    let first = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    let queued = tokio::spawn(call(world.caller.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.command(Command::Shutdown).await;
    assert!(first.await.unwrap().unwrap().result.is_ok(), "a running call is finished");
    assert_eq!(error_of(&queued.await.unwrap()), Some(ExecError::Overloaded));
    world.stopped().await;
    assert_eq!(call(world.caller.clone()).await, Err(DispatcherEnded));
}

#[tokio::test]
async fn a_change_of_the_gate_limits_is_visible_in_the_view() {
    let world = World::start(without_polls(), Script::Succeed);
    let limits = GateLimits { permits: 5, sync_reserve: 2, async_reserve: 1 };
    timeout(PATIENCE, world.gate.change(limits)).await.expect("the limits are in force within PATIENCE").unwrap();
    assert_eq!((world.gate.limits(), world.gate.view().permits), (limits, 5));
}
