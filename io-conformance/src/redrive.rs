//! Redrive and discard of dead letters: each batch is one transaction, and a letter is redriven
//! once.

use crate::Store;
use crate::support::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::{DeadLetterId, DeadReason, Delivery, Trigger, TriggerSpec, Verdict};
use tidegate_ports::{DeadLetter, DeadLetterStore, LetterBatch, LetterSelection, PortError, Resolution};

/// An app with `count` dead letters of its trigger `lane`.
async fn with_letters<S: Store>(store: &Arc<S>, count: u32) -> (App<S>, Trigger, Vec<DeadLetter>) {
    let app = App::new(store).await;
    let lane = app.trigger(&TriggerSpec { retry: attempts(7), ..on_app("lane", "go") }).await;
    app.go(count).await;
    for row in app.claim(lane.id, count).await {
        app.settle(&row, dead(threw(row.attempt, row.due_at, "it broke"))).await;
    }
    let mut letters = app.letters().await;
    letters.reverse();
    (app, lane, letters)
}

fn any_letter() -> LetterSelection {
    LetterSelection { limit: 100, ..LetterSelection::default() }
}

fn only(letters: &[DeadLetter]) -> LetterSelection {
    LetterSelection { ids: Some(letters.iter().map(|letter| letter.id).collect()), ..any_letter() }
}

impl<S: Store> App<S> {
    async fn redrive(&self, selection: &LetterSelection) -> LetterBatch {
        DeadLetterStore::redrive(&*self.store, &self.name, selection).await.expect("the redrive is answered")
    }

    async fn discard(&self, selection: &LetterSelection) -> LetterBatch {
        DeadLetterStore::discard(&*self.store, &self.name, selection).await.expect("the discard is answered")
    }

    async fn count(&self, selection: &LetterSelection) -> LetterBatch {
        DeadLetterStore::count(&*self.store, &self.name, selection).await.expect("the count is answered")
    }

    async fn resolutions(&self) -> Vec<Option<Resolution>> {
        self.letters().await.iter().rev().map(|letter| letter.resolution).collect()
    }
}

fn dead_again(row: &Delivery) -> Verdict {
    dead(threw(row.attempt, row.due_at, "it broke again"))
}

pub(crate) async fn a_redriven_delivery_equals_the_dead_one<S: Store>(store: Arc<S>) {
    let (app, lane, letters) = with_letters(&store, 1).await;
    let letter = &letters[0];
    // A change of the trigger does not change the policy of a delivery that was emitted before.
    app.trigger(&TriggerSpec { retry: attempts(2), ..on_app("lane", "go") }).await;

    let batch = app.redrive(&only(&letters)).await;
    let woken = vec![lane.id];
    assert_eq!(batch, LetterBatch { matched: 1, skipped: 0, last: Some(letter.id), woken_lanes: woken });

    let shown = app.letters().await;
    let expected = DeadLetter { resolution: Some(Resolution::Redriven), ..letter.clone() };
    assert_eq!(shown, [expected], "the letter stays and is marked");
    let row = app.next(lane.id).await;
    assert_eq!((&row.event, row.attempt, row.redrive_generation), (&letter.event, 1, 1));
    assert_eq!((row.policy.max_attempts(), row.handles_letter, row.reply_to), (7, None, None));
    assert_eq!(row.idempotency_key(), format!("{}:{}", letter.event.id, lane.id));
    assert!(row.id != letter.delivery_id && app.delivery(row.id).await.expect("the row exists").failed.is_empty());
    app.settle(&row, done()).await;
    assert_eq!(app.deliveries().await, []);
}

pub(crate) async fn a_redriven_delivery_that_dies_again_links_to_its_old_letter<S: Store>(store: Arc<S>) {
    let (app, lane, letters) = with_letters(&store, 1).await;
    app.redrive(&any_letter()).await;
    let row = app.next(lane.id).await;
    app.settle(&row, dead_again(&row)).await;
    let shown = app.letters().await;
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].previous_letter_id, shown[0].redrive_generation), (Some(letters[0].id), 1));
    assert_eq!((shown[0].failed.len(), shown[0].resolution), (1, None));
    assert_eq!((shown[1].previous_letter_id, shown[1].redrive_generation), (None, 0));
    let batch = app.redrive(&any_letter()).await;
    assert_eq!((batch.matched, batch.last), (1, Some(shown[0].id)), "only the open letter is redriven");
    assert_eq!(app.next(lane.id).await.redrive_generation, 2);
}

pub(crate) async fn a_letter_is_redriven_once<S: Store>(store: Arc<S>) {
    let (app, lane, letters) = with_letters(&store, 3).await;
    let selection = only(&letters);
    let ((one, other), third) =
        tokio::join!(async { tokio::join!(app.redrive(&selection), app.redrive(&selection)) }, app.redrive(&selection));
    assert_eq!(one.matched + other.matched + third.matched, 3);
    assert_eq!(app.claim(lane.id, 100).await.len(), 3);
    assert_eq!(app.redrive(&selection).await, LetterBatch::default());
    assert_eq!(app.discard(&selection).await, LetterBatch::default(), "a redriven letter is not discarded");
    assert_eq!(app.resolutions().await, [Some(Resolution::Redriven); 3]);
}

pub(crate) async fn a_batch_continues_after_the_last_one<S: Store>(store: Arc<S>) {
    let (app, lane, letters) = with_letters(&store, 5).await;
    assert_eq!(app.count(&LetterSelection { limit: 2, ..any_letter() }).await.matched, 5);
    let mut matched = Vec::new();
    let mut selection = LetterSelection { limit: 2, ..any_letter() };
    loop {
        let batch = app.redrive(&selection).await;
        matched.push(batch.matched);
        selection.after = batch.last;
        if batch.matched < 2 {
            break;
        }
    }
    assert_eq!(matched, [2, 2, 1]);
    let redriven: BTreeSet<_> = app.claim(lane.id, 100).await.iter().map(|row| row.event.id).collect();
    assert_eq!(redriven, letters.iter().map(|letter| letter.event.id).collect());
}

pub(crate) async fn letters_are_selected_by_every_filter<S: Store>(store: Arc<S>) {
    let (app, lane, mut letters) = with_letters(&store, 2).await;
    let other = app.trigger(&on_app("other", "went")).await;
    app.emit(vec![new_event("went", "", "1")]).await;
    let row = app.next(other.id).await;
    let verdict = Verdict::Dead {
        reason: DeadReason::MaxAge,
        attempts: 1,
        failed: None,
        fingerprint: "f".to_owned(),
        disable_trigger: false,
    };
    app.settle(&row, verdict).await;
    letters.push(app.letters().await.remove(0));
    let fingerprint_of = |letter: &DeadLetter| letter.fingerprint.clone();
    for (selection, found) in [
        (any_letter(), &letters[..]),
        (LetterSelection { trigger: Some(lane.spec.name.clone()), ..any_letter() }, &letters[..2]),
        (LetterSelection { fingerprint: Some(fingerprint_of(&letters[2])), ..any_letter() }, &letters[2..]),
        (LetterSelection { reason: Some(DeadReason::MaxAge), ..any_letter() }, &letters[2..]),
        (LetterSelection { created_from: Some(letters[2].created_at), ..any_letter() }, &letters[2..]),
        (LetterSelection { created_before: Some(letters[0].created_at), ..any_letter() }, &[]),
        (LetterSelection { after: Some(letters[0].id), ..any_letter() }, &letters[1..]),
        (LetterSelection { resolution: Some(Resolution::Handled), ..any_letter() }, &[]),
        (only(&letters[1..2]), &letters[1..2]),
        (LetterSelection { ids: Some(vec![DeadLetterId(999_999)]), ..any_letter() }, &[]),
    ] {
        let last = found.last().map(|letter| letter.id);
        let expected = LetterBatch { matched: found.len() as u64, last, ..LetterBatch::default() };
        assert_eq!(app.count(&selection).await, expected, "{selection:?}");
    }
    assert_eq!(app.resolutions().await, [None; 3], "a count changes nothing");
    app.discard(&only(&letters[..1])).await;
    assert_eq!(app.count(&any_letter()).await.matched, 2, "a discarded letter is not open");
    let discarded = LetterSelection { resolution: Some(Resolution::Discarded), ..any_letter() };
    assert_eq!(app.redrive(&discarded).await.matched, 1, "a discarded letter can be redriven");
}

pub(crate) async fn letters_of_a_deleted_trigger_are_skipped<S: Store>(store: Arc<S>) {
    let (app, _, letters) = with_letters(&store, 2).await;
    app.delete_trigger("lane").await;
    let expected = LetterBatch { matched: 2, skipped: 2, last: Some(letters[1].id), woken_lanes: vec![] };
    assert_eq!(app.count(&any_letter()).await, expected);
    assert_eq!(app.redrive(&any_letter()).await, expected);
    assert_eq!((app.deliveries().await, app.resolutions().await), (vec![], vec![None; 2]));
    let discarded = app.discard(&any_letter()).await;
    assert_eq!((discarded.matched, discarded.skipped), (2, 0));
}

pub(crate) async fn letters_of_a_deleted_trigger_go_to_the_trigger_of_its_name<S: Store>(store: Arc<S>) {
    let (app, lane, letters) = with_letters(&store, 2).await;
    app.delete_trigger("lane").await;
    // A trigger of another source cannot handle the events of the letters.
    app.trigger(&on_kv("lane", "*", "*")).await;
    assert_eq!((app.count(&any_letter()).await.skipped, app.redrive(&any_letter()).await.skipped), (2, 2));
    app.delete_trigger("lane").await;
    let successor = app.trigger(&on_app("lane", "other")).await;
    assert_ne!(successor.id, lane.id);
    assert_eq!(app.count(&any_letter()).await.skipped, 0);

    let batch = app.redrive(&any_letter()).await;

    let expected = LetterBatch { matched: 2, skipped: 0, last: Some(letters[1].id), woken_lanes: vec![successor.id] };
    assert_eq!(batch, expected);
    let rows = app.claim(successor.id, 10).await;
    let events: Vec<_> = rows.iter().map(|row| row.event.id).collect();
    assert_eq!(events, letters.iter().map(|letter| letter.event.id).collect::<Vec<_>>());
    assert_eq!(app.resolutions().await, [Some(Resolution::Redriven); 2]);
}

pub(crate) async fn letters_of_another_app_are_not_selected<S: Store>(store: Arc<S>) {
    let (app, _, letters) = with_letters(&store, 1).await;
    let other = App::named(&store, "other").await;
    assert_eq!(other.redrive(&only(&letters)).await, LetterBatch::default());
    assert_eq!(other.discard(&only(&letters)).await, LetterBatch::default());
    let missing = app_name("missing");
    let refused = DeadLetterStore::redrive(&*store, &missing, &any_letter()).await;
    assert_eq!(refused, Err(PortError::UnknownApp));
    assert_eq!(app.resolutions().await, [None]);
}

pub(crate) async fn a_manual_resolution_is_kept_when_the_handler_ends<S: Store>(store: Arc<S>) {
    for discards in [true, false] {
        let app = App::named(&store, if discards { "discards" } else { "redrives" }).await;
        let lane = app.trigger(&on_app("lane", "go")).await;
        app.trigger(&on_dead_letter("on-dead-letters", "*")).await;
        for verdict in handler_verdicts().into_iter().filter(|verdict| !matches!(verdict, Verdict::Deferred { .. })) {
            let row = app.handling(&lane).await;
            let letter = app.letters().await.remove(0);
            let selection = only(std::slice::from_ref(&letter));
            let decided = if discards { app.discard(&selection).await } else { app.redrive(&selection).await };
            assert_eq!(decided.matched, 1);
            app.settle(&row, verdict).await;
            let expected = if discards { Resolution::Discarded } else { Resolution::Redriven };
            let shown = app.letters().await.remove(0);
            assert_eq!((shown.resolution, shown.handler_failure), (Some(expected), None));
            for row in app.claim(lane.id, 10).await {
                app.settle(&row, done()).await;
            }
        }
    }
}

pub(crate) async fn a_letter_keeps_the_failure_of_its_handler<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let row = app.handling(&lane).await;
    let failed = threw(1, row.due_at, "the handler broke");
    app.settle(&row, Verdict::HandlerFailed { failed: failed.clone() }).await;
    let letter = app.letters().await.remove(0);
    assert_eq!((letter.resolution, letter.handler_failure), (Some(Resolution::HandlerFailed), Some(failed)));
}
