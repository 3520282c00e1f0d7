//! Every verdict, for the promises that hold for all of them.

use super::app::App;
use super::build::{A_MINUTE, dead, done_with, new_event, on_app, on_dead_letter, on_kv, threw, write};
use crate::Store;
use std::sync::Arc;
use tidegate_core::{AbandonCause, Attempt, DeadReason, Delivery, Effects, Micros, Timestamp, Trigger, Verdict};

/// A case's world for verdicts: `lane`, and triggers that would hear of anything that a verdict makes.
pub(crate) async fn listening<S: Store>(store: &Arc<S>) -> (App<S>, Trigger) {
    let (app, lane) = App::with_lane(store).await;
    app.trigger(&on_app("hears-events", "heard")).await;
    app.trigger(&on_kv("hears-writes", "*", "*")).await;
    app.trigger(&on_dead_letter("hears-deaths", "*")).await;
    app.put("c", "there", "1").await;
    (app, lane)
}

/// A write, a delete and an event.
pub(crate) fn some_effects() -> Effects {
    Effects {
        reads: Vec::new(),
        writes: vec![write("c", "k", Some("2")), write("c", "there", None)],
        events: vec![new_event("heard", "s", "3")],
    }
}

fn failed() -> Attempt {
    threw(1, Timestamp(1_700_000_000_000_000), "it broke")
}

/// One of each verdict that an async delivery can get, each doing as much as it can.
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

/// One of each verdict that a dead-letter handler's delivery can get.
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
    /// A dead letter of `lane` and the delivery of its handler `hears-deaths`, claimed.
    pub(crate) async fn handling(&self, lane: &Trigger) -> Delivery {
        self.go(1).await;
        let row = self.next(lane.id).await;
        self.settle(&row, dead(threw(1, row.due_at, "it broke"))).await;
        let handler = self.trigger_named("hears-deaths").await.expect("the trigger is there");
        self.next(handler.id).await
    }
}
