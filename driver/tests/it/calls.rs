//! Sync calls through the loop: the reply comes back, and a caller who hangs up is noticed.

use crate::PATIENCE;
use crate::fake::{Script, World};
use std::time::Duration;
use tidegate_core::{
    AbandonCause, Cause, ConfigSpec, Ending, EventType, ExecError, Fact, GateLimits, Json, NewEvent, PrincipalId,
    Subject, SyncReply, SyncTarget, TriggerId, Verdict,
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
    timeout(PATIENCE, caller.call(SyncTarget::Trigger(TriggerId(1)), event, cause)).await.expect("nobody answers")
}

fn error(reply: &Result<SyncReply, DispatcherEnded>) -> Option<ExecError> {
    reply.as_ref().ok()?.result.as_ref().err().map(|failure| failure.error)
}

fn without_polls() -> ConfigSpec {
    ConfigSpec { poll_interval_ms: 60_000, ..ConfigSpec::default() }
}

#[tokio::test]
async fn a_call_comes_back_and_its_row_goes() {
    let mut world = World::start(without_polls(), Script::Succeed);
    let reply = call(world.caller.clone()).await.unwrap();
    assert_eq!((reply.execution.is_some(), reply.result), (true, Ok(None)));
    assert!(matches!(world.ending().await, Ending::Replied { .. }));
    let settled = world.store.settled();
    assert!(matches!(settled[..], [Verdict::Executed { .. }, Verdict::Replied]), "{settled:?}");
}

#[tokio::test]
async fn many_calls_each_get_their_own_reply() {
    let world = World::start(without_polls(), Script::Sleep(Duration::from_millis(5)));
    let calls: Vec<_> = (0..200).map(|_| tokio::spawn(call(world.caller.clone()))).collect();
    let mut rows = std::collections::BTreeSet::new();
    for call in calls {
        assert!(rows.insert(call.await.unwrap().unwrap().execution));
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_written_down_and_the_handler_goes_on() {
    let mut world = World::start(without_polls(), Script::Sleep(Duration::from_millis(200)));
    let calling = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    calling.abort();
    assert_eq!(world.ending().await, Ending::Abandoned { cause: AbandonCause::CallerGone });
    assert_eq!(world.dropped_executions(), 0);
}

#[tokio::test]
async fn a_caller_who_hangs_up_in_the_queue_frees_his_place() {
    let config = ConfigSpec { gate: GateLimits { permits: 1, sync_reserve: 0 }, ..without_polls() };
    let mut world = World::start(config, Script::Sleep(Duration::from_millis(300)));
    let first = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    let second = tokio::spawn(call(world.caller.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    second.abort();
    let refused = |fact: &Fact| matches!(fact, Fact::CallRefused { failure: None, .. }).then_some(());
    world.fact(refused).await_some().await;
    assert!(first.await.unwrap().unwrap().result.is_ok());
}

#[tokio::test]
async fn a_stopped_dispatcher_answers_everybody() {
    let config = ConfigSpec { gate: GateLimits { permits: 1, sync_reserve: 0 }, ..without_polls() };
    let mut world = World::start(config, Script::Sleep(Duration::from_millis(100)));
    let first = tokio::spawn(call(world.caller.clone()));
    world.fact(|fact| matches!(fact, Fact::ExecutionStarted { .. }).then_some(())).await_some().await;
    let waiting = tokio::spawn(call(world.caller.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.command(Command::Shutdown).await;
    assert!(first.await.unwrap().unwrap().result.is_ok(), "what runs is finished");
    assert_eq!(error(&waiting.await.unwrap()), Some(ExecError::Overloaded));
    world.stopped().await;
    assert_eq!(call(world.caller.clone()).await, Err(DispatcherEnded));
}

#[tokio::test]
async fn the_gates_limits_can_be_changed_and_seen() {
    let world = World::start(without_polls(), Script::Succeed);
    let limits = GateLimits { permits: 5, sync_reserve: 2 };
    timeout(PATIENCE, world.gate.change(limits)).await.expect("it is never in force").unwrap();
    assert_eq!((world.gate.limits(), world.gate.view().permits), (limits, 5));
}
