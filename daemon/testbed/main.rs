//! The program with the native handlers that tests need.

use std::process::ExitCode;
use std::time::Duration;
use tidegate::{NativeContext, NativeHandlers, main_with};
use tidegate_core::{Delivery, Effects, ExecError, Failure, HandlerReply, NewEvent, Outcome, SyncTarget};

fn main() -> ExitCode {
    main_with(
        NativeHandlers::default()
            .with("abort", |_| async { std::process::abort() })
            .with("abort_or_sleep_20ms", |delivery| async move {
                if delivery.event.data.as_str() == "\"poison\"" {
                    std::process::abort()
                }
                sleep(20).await
            })
            .with("noop", |_| async { done() })
            .with("fail", |_| async { Outcome::Failed(Failure::new(ExecError::ScriptError, "the test handler fails")) })
            .with("fail_with", |delivery| async move { fail_with(&delivery) })
            .with("answer_204", |_| async { answer(204) })
            .with("sleep_5s", |_| async { sleep(5_000).await })
            .with("answer_in_5s", |_| async {
                sleep(5_000).await;
                answer(204)
            })
            .with("answer_in_2s", |_| async {
                sleep(2_000).await;
                answer(204)
            })
            .with("answer_in_200ms", |_| async {
                sleep(200).await;
                answer(204)
            })
            .with_context("again", again)
            .with("sleep_20ms", |_| async { sleep(20).await })
            .with("sleep_200ms", |_| async { sleep(200).await }),
    )
}

fn done() -> Outcome {
    Outcome::Succeeded { effects: Effects::default(), reply: None }
}

fn answer(status: u16) -> Outcome {
    let reply = HandlerReply { status, headers: Vec::new(), body: None };
    Outcome::Succeeded { effects: Effects::default(), reply: Some(reply) }
}

/// Fails with the error that the body of the request names.
fn fail_with(delivery: &Delivery) -> Outcome {
    let request = serde_json::from_str::<serde_json::Value>(delivery.event.data.as_str()).unwrap_or_default();
    let error = serde_json::from_str(request["body"].as_str().unwrap_or_default()).unwrap_or(ExecError::Internal);
    Outcome::Failed(Failure::new(error, "the test handler fails"))
}

/// Calls its own trigger and answers with the status of that call.
async fn again(context: NativeContext) -> Outcome {
    let event = NewEvent {
        event_type: context.delivery.event.event_type.clone(),
        subject: context.delivery.event.subject.clone(),
        data: context.delivery.event.data.clone(),
    };
    let target = SyncTarget::Trigger { app: context.delivery.event.app.clone(), id: context.delivery.trigger_id };
    match context.call(target, event).await.map(|reply| reply.result) {
        Ok(Ok(Some(reply))) => answer(reply.status),
        Ok(Err(failure)) => answer(failure.error.reply_status()),
        _ => answer(599),
    }
}

async fn sleep(ms: u64) -> Outcome {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    done()
}
