//! Dead letters: the triggers that they fire, the results of their handlers, and the filters of
//! their list.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{DeadLetterId, Effects, Micros, Source, Trigger, TriggerSpec, Verdict};
use tidegate_ports::{DeadLetter, DeadLetterFilter, DeadLetterStore, PageSize, PortError, Resolution};

/// Emits one event, and settles its delivery as dead with `message`.
async fn make_letter<S: Store>(app: &App<S>, lane: &Trigger, message: &str) -> SortedExchangeReply {
    app.go(1).await;
    let row = app.next(lane.id).await;
    app.settle(&row, dead(threw(1, row.due_at, message))).await
}

pub(crate) async fn a_dead_letter_fires_the_triggers_that_match_it<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let timeout_ms = 1_234.try_into().expect("a valid timeout");
    let handler = app.trigger(&TriggerSpec { timeout_ms, ..on_dead_letter("handler", "la*") }).await;
    let another = app.trigger(&on_dead_letter("another", "*")).await;
    app.trigger(&on_dead_letter("other-triggers", "other*")).await;
    app.trigger(&on_app("on-app", "dead_letter.created")).await;
    app.trigger(&TriggerSpec { enabled: false, ..on_dead_letter("disabled", "*") }).await;
    app.go(1).await;
    let row = app.next(lane.id).await;
    let failed = threw(1, row.due_at, "it broke");

    let reply = app.settle(&row, dead(failed.clone())).await;

    assert_eq!(reply.woken, [handler.id, another.id]);
    assert_eq!(app.waiting().await, ["another", "handler"]);
    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    let handling = app.next(handler.id).await;
    assert_eq!(handling.handles_letter, Some(letter.id));
    assert_eq!((handling.policy.max_attempts(), handling.timeout), (1, Micros::from_millis(1_234)));
    assert_eq!((handling.attempt, handling.reply_to, handling.redrive_generation), (1, None, 0));
    let event = handling.event;
    assert_eq!((event.source, event.event_type.as_str()), (Source::DeadLetter, "dead_letter.created"));
    assert_eq!((event.subject.as_str(), &event.app, event.time), ("lane", &app.name, reply.now));
    assert_eq!((event.depth, event.root_id, event.parent_id), (1, row.event.root_id, Some(row.event.id)));
    assert_eq!((event.actor, event.traceparent.as_deref()), (registrant(), Some(TRACEPARENT)));
    let data: serde_json::Value = serde_json::from_str(event.data.as_str()).expect("valid JSON");
    let expected = serde_json::json!({
        "dead_letter_id": letter.id.0, "trigger": "lane", "reason": "permanent", "fingerprint": failed.fingerprint(),
        "attempts": 1, "error": "script_error", "message": "it broke",
        "event": {"id": row.event.id, "source": "app", "type": "go", "subject": "0", "data": null},
    });
    assert_eq!(data, expected);
    let other = app.next(another.id).await;
    assert_eq!((other.handles_letter, other.event.id), (Some(letter.id), event.id), "both deliveries are of one event");
}

pub(crate) async fn rows_of_a_paused_dead_letter_handler_wait<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let handler = app.trigger(&on_dead_letter("handler", "*")).await;
    app.set_paused("handler", true).await;

    make_letter(&app, &lane, "it broke").await;

    assert_eq!((app.waiting().await, app.claim(handler.id, 1).await), (vec!["handler".to_owned()], vec![]));
    app.set_paused("handler", false).await;
    assert!(app.next(handler.id).await.handles_letter.is_some());
}

pub(crate) async fn each_dead_letter_of_an_exchange_fires_its_own_event<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let handler = app.trigger(&on_dead_letter("handler", "*")).await;
    app.go(5).await;
    let rows = app.claim(lane.id, 5).await;
    let settle = rows.iter().map(|row| settlement(row, dead(threw(1, row.due_at, "it broke")))).collect();

    let reply = app.exchange(settle, vec![quota(handler.id, 10)]).await;

    assert_eq!(reply.woken, [handler.id]);
    let mut handled: Vec<_> = reply.claimed.iter().map(|row| row.handles_letter).collect();
    handled.sort();
    let mut letters: Vec<_> = app.letters().await.iter().map(|letter| Some(letter.id)).collect();
    letters.sort();
    assert_eq!((handled.len(), handled), (5, letters));
    let mut parents: Vec<_> = reply.claimed.iter().map(|row| row.event.parent_id).collect();
    parents.sort();
    let mut dead: Vec<_> = rows.iter().map(|row| Some(row.event.id)).collect();
    dead.sort();
    assert_eq!(parents, dead);
}

pub(crate) async fn a_successful_handler_marks_its_letter_as_handled<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    make_letter(&app, &lane, "another").await;
    let first = app.letters().await[0].clone();
    let handler = app.trigger_named("on-dead-letters").await.expect("the trigger exists").id;
    let unhandled = app.next(handler).await;
    let row = app.handling(&lane).await;

    let reply = app.settle(&row, Verdict::Handled { effects: some_effects() }).await;

    let letters = app.letters().await;
    assert_eq!(letters[0].resolution, Some(Resolution::Handled));
    assert_eq!(letters[1], first, "the other letter is still open");
    assert_eq!((app.delivery(row.id).await, reply.woken.len()), (None, 2), "the effects are applied");
    assert_eq!(app.value("c", "k").await.as_deref(), Some("2"));
    let effects: Vec<_> =
        app.deliveries().await.into_iter().filter(|one| one.event.parent_id == Some(row.event.id)).collect();
    assert_eq!(effects.len(), 3);
    assert!(effects.iter().all(|one| one.event.depth == 2 && one.event.root_id == row.event.root_id), "{effects:#?}");
    app.settle(&unhandled, Verdict::Handled { effects: Effects::default() }).await;
    assert_eq!(app.letters().await[1].resolution, Some(Resolution::Handled));
}

pub(crate) async fn a_conflict_of_a_handler_leaves_its_letter_open<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let row = app.handling(&lane).await;
    let effects = Effects { reads: vec![read("c", "there", None)], ..some_effects() };
    let before = app.snapshot().await;

    let reply = app.try_settle(&row, Verdict::Handled { effects }).await;

    assert_eq!((reply.fenced, reply.conflicted), (vec![], vec![claim_of(&row)]));
    assert_eq!(app.snapshot().await, before);
    app.settle(&row, Verdict::Handled { effects: some_effects() }).await;
}

/// The failure of a handler is recorded in its letter. It makes no second letter, although a
/// trigger matches the dead letters of all triggers.
pub(crate) async fn a_failed_handler_makes_no_dead_letter<S: Store>(store: Arc<S>) {
    let (app, lane) = with_listeners(&store).await;
    let row = app.handling(&lane).await;
    let waiting = app.waiting().await.len();

    let reply = app.settle(&row, Verdict::HandlerFailed { failed: threw(1, row.due_at, "the handler failed") }).await;

    let [letter] = &app.letters().await[..] else { panic!("not exactly one letter") };
    assert_eq!(letter.resolution, Some(Resolution::HandlerFailed));
    assert_eq!((app.delivery(row.id).await, reply.woken), (None, vec![]));
    assert_eq!(app.waiting().await.len(), waiting - 1);
}

/// The policy allows one loss, so the core does not run the handler again.
pub(crate) async fn a_lost_handler_is_claimed_again<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let handler = app.trigger(&on_dead_letter("handler", "*")).await;
    make_letter(&app, &lane, "it broke").await;

    let (_, first) = app.next_expiring(handler.id).await;
    let second = app.next_suspect(handler.id).await;

    assert_eq!((first.lost, second.lost, second.policy.max_lost()), (0, 1, 1));
    assert_eq!(second.handles_letter, first.handles_letter);
}

pub(crate) async fn a_dead_row_of_a_deleted_trigger_fires_its_handlers<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let handler = app.trigger(&on_dead_letter("handler", "lane")).await;
    app.go(1).await;
    app.delete_trigger("lane").await;
    let row = app.next(lane.id).await;

    let reply = app.settle(&row, dead(threw(1, row.due_at, "no handler"))).await;

    assert_eq!(reply.woken, [handler.id]);
    assert_eq!(app.next(handler.id).await.event.subject.as_str(), "lane");
}

pub(crate) async fn a_fenced_or_deferred_settlement_fires_nothing<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.trigger(&on_dead_letter("handler", "*")).await;
    app.go(1).await;
    let (_, stale) = app.next_expiring(lane.id).await;
    let valid = app.next_suspect(lane.id).await;

    let reply = app.try_settle(&stale, dead(threw(1, stale.due_at, "late"))).await;
    app.settle(&valid, Verdict::Deferred { delay: A_MINUTE }).await;

    assert_eq!((reply.fenced, reply.woken), (vec![claim_of(&stale)], vec![]));
    assert_eq!((app.letters().await, app.waiting().await), (vec![], vec!["lane".to_owned()]));
}

fn letter_ids(letters: &[DeadLetter]) -> Vec<DeadLetterId> {
    letters.iter().map(|letter| letter.id).collect()
}

pub(crate) async fn letters_are_filtered_and_listed_newest_first<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = app.trigger(&on_app("other", "go-on")).await;
    let handler = app.trigger(&on_dead_letter("handler", "lane")).await;
    for message in ["one 1", "two", "one 2", "one 3"] {
        make_letter(&app, &lane, message).await;
    }
    app.emit(vec![new_event("go-on", "", "null")]).await;
    let row = app.next(other.id).await;
    app.settle(&row, dead(threw(1, row.due_at, "one 4"))).await;
    let row = app.next(handler.id).await;
    app.settle(&row, Verdict::Handled { effects: Effects::default() }).await;
    let all = app.letters().await;
    let [e, d, c, b, a] = letter_ids(&all)[..] else { panic!("not five letters: {all:#?}") };
    assert!(all.is_sorted_by(|one, next| one.created_at > next.created_at && one.id > next.id), "newest first");
    let one = all[0].fingerprint.clone();

    let any = DeadLetterFilter { size: PageSize::of(100), ..DeadLetterFilter::default() };
    let of = |name: &str| Some(trigger_name(name));
    for (expected, filter) in [
        (vec![d, c, b, a], DeadLetterFilter { trigger: of("lane"), ..any.clone() }),
        (vec![e], DeadLetterFilter { trigger: of("other"), ..any.clone() }),
        (vec![], DeadLetterFilter { trigger: of("missing"), ..any.clone() }),
        (vec![e, d, c, a], DeadLetterFilter { fingerprint: Some(one.clone()), ..any.clone() }),
        (vec![], DeadLetterFilter { fingerprint: Some("none".to_owned()), ..any.clone() }),
        (vec![e, d, c, b], DeadLetterFilter { open_only: true, ..any.clone() }),
        (vec![b, a], DeadLetterFilter { before: Some(c), ..any.clone() }),
        (vec![], DeadLetterFilter { before: Some(a), ..any.clone() }),
        (vec![e, d], DeadLetterFilter { size: PageSize::of(2), ..any.clone() }),
        (vec![d], DeadLetterFilter { before: Some(e), size: PageSize::of(1), ..any.clone() }),
        (
            vec![c],
            DeadLetterFilter {
                trigger: of("lane"),
                fingerprint: Some(one),
                open_only: true,
                before: Some(d),
                size: PageSize::of(5),
                ..DeadLetterFilter::default()
            },
        ),
    ] {
        assert_eq!(letter_ids(&app.letters_by(&filter).await), expected, "{filter:?}");
    }

    // The name also finds the letters of a deleted trigger.
    app.delete_trigger("lane").await;
    assert_eq!(letter_ids(&app.letters_by(&DeadLetterFilter { trigger: of("lane"), ..any }).await), [d, c, b, a]);
}

pub(crate) async fn a_letter_is_read_by_its_id_within_its_app<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    make_letter(&app, &lane, "it broke").await;
    let letter = app.letters().await.remove(0);

    let get = |name, id| DeadLetterStore::get(&*store, name, id);
    assert_eq!(get(&app.name, letter.id).await, Ok(Some(letter.clone())));
    assert_eq!(get(&app.name, DeadLetterId(letter.id.0 + 1)).await, Ok(None));
    assert_eq!(get(&other.name, letter.id).await, Ok(None));
    assert_eq!(other.letters().await, []);
}

pub(crate) async fn a_letter_keeps_the_script_version<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let name = script_name("receipt");
    let handler = tidegate_core::Handler::Script(name.clone());
    let lane = app.trigger(&TriggerSpec { handler: handler.clone(), ..on_app("lane", "go") }).await;
    let script =
        tidegate_ports::ScriptStore::put(&*store, &app.name, &name, "throw 1").await.expect("the script is put");

    make_letter(&app, &lane, "it threw").await;

    let letter = app.letters().await.remove(0);
    assert_eq!((letter.handler, letter.script_version), (Some(handler), Some(script.version)));
}

pub(crate) async fn letters_of_an_unknown_app_are_an_error<S: Store>(store: Arc<S>) {
    let missing = app_name("missing");
    let filter = DeadLetterFilter { size: PageSize::of(10), ..DeadLetterFilter::default() };
    assert_eq!(DeadLetterStore::list(&*store, &missing, &filter).await, Err(PortError::UnknownApp));
    assert_eq!(DeadLetterStore::get(&*store, &missing, DeadLetterId(1)).await, Err(PortError::UnknownApp));
}
