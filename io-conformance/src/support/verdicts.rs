//! One example of every verdict, for the rules that hold for all verdicts.

use super::app::App;
use super::build::{A_MINUTE, dead, done_with, new_event, on_app, on_dead_letter, on_kv, threw, write};
use crate::Store;
use std::sync::Arc;
use tidegate_core::{AbandonCause, Attempt, DeadReason, Delivery, Effects, Micros, Timestamp, Trigger, Verdict};

/// An app with the trigger `lane`, and with triggers that match every event that a verdict can
/// emit.
pub(crate) async fn with_listeners<S: Store>(store: &Arc<S>) -> (App<S>, Trigger) {
    let (app, lane) = App::with_lane(store).await;
    app.trigger(&on_app("on-events", "matched")).await;
    app.trigger(&on_kv("on-writes", "*", "*")).await;
    app.trigger(&on_dead_letter("on-dead-letters", "*")).await;
    app.put("c", "there", "1").await;
    (app, lane)
}

/// A write, a delete and an event.
pub(crate) fn some_effects() -> Effects {
    Effects {
        reads: Vec::new(),
        writes: vec![write("c", "k", Some("2")), write("c", "there", None)],
        events: vec![new_event("matched", "s", "3")],
    }
}

fn failed() -> Attempt {
    threw(1, Timestamp(1_700_000_000_000_000), "it broke")
}

/// One example of each verdict for an async delivery, with as many effects as it can have.
pub(crate) fn async_verdicts() -> Vec<Verdict> {
    vec![
        Verdict::Done { effects: Effects::default() },
        done_with(some_effects()),
        Verdict::Retry { delay: A_MINUTE, failed: failed() },
        Verdict::Retry { delay: Micros::ZERO, failed: failed() },
        dead(failed()),
        Verdict::Dead {
            reason: DeadReason::AttemptsExhausted,
            attempts: 1,
            failed: None,
            fingerprint: "f".to_owned(),
            disable_trigger: true,
        },
        Verdict::Dropped,
        Verdict::Deferred { delay: A_MINUTE },
        Verdict::Deferred { delay: Micros::ZERO },
        Verdict::Abandoned { cause: AbandonCause::CallerGone },
    ]
}

/// One example of each verdict for the delivery of a dead-letter handler.
pub(crate) fn handler_verdicts() -> Vec<Verdict> {
    vec![
        Verdict::Handled { effects: Effects::default() },
        Verdict::Handled { effects: some_effects() },
        Verdict::HandlerFailed { failed: failed() },
        Verdict::Deferred { delay: A_MINUTE },
        Verdict::Dropped,
    ]
}

impl<S: Store> App<S> {
    /// Makes a dead letter of `lane`, and claims the delivery of its handler `on-dead-letters`.
    pub(crate) async fn handling(&self, lane: &Trigger) -> Delivery {
        self.go(1).await;
        let row = self.next(lane.id).await;
        self.settle(&row, dead(threw(1, row.due_at, "it broke"))).await;
        let handler = self.trigger_named("on-dead-letters").await.expect("the trigger exists");
        self.next(handler.id).await
    }
}
