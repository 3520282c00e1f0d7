//! Ticks: a cron trigger ticks once at each scheduled time, even if several daemons send the tick
//! or one daemon sends it again.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{
    Attempt, DeadReason, Event, ExecError, Match, Micros, PrincipalId, Schedule, Source, Tick, Timestamp, Trigger,
    TriggerId, TriggerSpec, Verdict,
};
use tidegate_ports::{AppStore, Deployment};

/// The schedule of `trigger` that the store is expected to return.
fn schedule(trigger: &Trigger, next_tick: Option<Timestamp>) -> Schedule {
    let Match::Cron { expression, time_zone } = &trigger.spec.rule else { panic!("{trigger:?} is no cron trigger") };
    Schedule { trigger: trigger.id, expression: expression.clone(), time_zone: *time_zone, next_tick }
}

fn tick(trigger: TriggerId, expected: Option<Timestamp>, next: Timestamp) -> Tick {
    Tick { trigger, expected, next }
}

/// An app with a cron trigger whose tick is due, the trigger, and the time of the tick.
async fn with_due_tick<S: Store>(store: &Arc<S>) -> (App<S>, Trigger, Timestamp) {
    let app = App::new(store).await;
    let trigger = app.trigger(&on_cron("nightly")).await;
    let at = Timestamp(1_700_000_000_123_456);
    app.tick(vec![tick(trigger.id, None, at)]).await;
    assert_eq!(app.schedules().await, [schedule(&trigger, Some(at))]);
    (app, trigger, at)
}

/// A time after the end of the case.
async fn later<S: Store>(app: &App<S>) -> Timestamp {
    app.discover().await.0.plus(A_MINUTE)
}

/// A new trigger does not tick for times before it was created. The first tick request only sets
/// the time of the next tick.
pub(crate) async fn a_new_schedule_gets_its_first_tick_without_a_row<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let trigger = app.trigger(&on_cron("nightly")).await;
    app.trigger(&on_app("no-cron", "*")).await;
    assert_eq!(app.schedules().await, [schedule(&trigger, None)]);

    let (_, woken) = app.tick(vec![tick(trigger.id, None, later(&app).await)]).await;

    assert_eq!((woken, app.deliveries().await), (vec![], vec![]));
    assert_eq!(app.schedules().await, [], "a schedule is returned only when its tick is due or unknown");
}

pub(crate) async fn a_due_tick_becomes_one_row_of_its_trigger<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    app.trigger(&on_cron("another")).await;
    app.trigger(&on_app("on-app", "*")).await;

    let (now, woken) = app.tick(vec![tick(trigger.id, Some(at), later(&app).await)]).await;

    assert_eq!(woken, [trigger.id]);
    assert_eq!(app.waiting().await, ["nightly"]);
    let row = app.next(trigger.id).await;
    let event = Event {
        id: row.event.id,
        app: app.name.clone(),
        source: Source::Cron,
        event_type: new_event("cron.tick", "", "null").event_type,
        subject: new_event("cron.tick", "nightly", "null").subject,
        time: now,
        data: row.event.data.clone(),
        actor: PrincipalId::new("system").expect("a valid principal"),
        root_id: row.event.id,
        parent_id: None,
        depth: 0,
        traceparent: None,
    };
    assert_eq!(row.event, event);
    let data: serde_json::Value = serde_json::from_str(row.event.data.as_str()).expect("valid JSON");
    let fields: Vec<_> = data.as_object().expect("an object").iter().collect();
    let [(name, scheduled)] = fields[..] else { panic!("the data has not exactly one field: {data}") };
    let scheduled = scheduled.as_str().and_then(Timestamp::from_rfc3339);
    assert_eq!((name.as_str(), scheduled), ("scheduled_at", Some(at)));
    assert_eq!((row.due_at, row.enqueued_at, row.policy), (now, now, trigger.spec.retry));
    assert_eq!((row.handler, row.runs_as), (Some(trigger.spec.handler), registrant()));
}

pub(crate) async fn a_tick_sent_twice_is_applied_once<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    let next = later(&app).await;

    assert_eq!(app.tick(vec![tick(trigger.id, Some(at), next)]).await.1, [trigger.id]);
    assert_eq!(app.tick(vec![tick(trigger.id, Some(at), next)]).await.1, []);

    assert_eq!((app.waiting().await.len(), app.schedules().await), (1, vec![]));
}

pub(crate) async fn one_of_many_daemons_applies_a_tick<S: Store>(store: Arc<S>) {
    let (app, trigger, mut at) = with_due_tick(&store).await;
    for round in 1..=10 {
        let next = at.plus(Micros::from_secs(1));
        let mut daemons = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let app = app.clone();
            daemons.spawn(async move { app.tick(vec![tick(trigger.id, Some(at), next)]).await.1 });
        }
        let woken = daemons.join_all().await.concat();
        assert_eq!((woken, app.waiting().await.len()), (vec![trigger.id], round));
        at = next;
    }
    assert_eq!(app.schedules().await, [schedule(&trigger, Some(at))]);
}

pub(crate) async fn a_tick_with_another_expected_time_changes_nothing<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    let next = later(&app).await;
    for expected in [None, Some(at.plus(Micros(1))), Some(at.minus(Micros(1))), Some(next)] {
        assert_eq!(app.tick(vec![tick(trigger.id, expected, next)]).await.1, [], "{expected:?}");
    }
    assert_eq!(app.tick(vec![tick(TriggerId(trigger.id.0 + 1_000_000), Some(at), next)]).await.1, []);
    assert_eq!((app.deliveries().await, app.schedules().await), (vec![], vec![schedule(&trigger, Some(at))]));
}

pub(crate) async fn several_triggers_tick_in_one_call<S: Store>(store: Arc<S>) {
    let (app, first, at) = with_due_tick(&store).await;
    let second = app.trigger(&on_cron("second")).await;
    let third = app.trigger(&on_cron("third")).await;
    app.tick(vec![tick(second.id, None, at), tick(third.id, None, at.plus(Micros(1)))]).await;
    let next = later(&app).await;

    let (_, woken) = app.tick([first.id, second.id, third.id].map(|id| tick(id, Some(at), next)).into()).await;

    assert_eq!(woken, [first.id, second.id]);
    assert_eq!(app.waiting().await, ["nightly", "second"]);
    assert_eq!(app.schedules().await, [schedule(&third, Some(at.plus(Micros(1))))]);
}

/// A change of the trigger restarts its schedule. A tick that was planned before the change has no
/// effect.
pub(crate) async fn a_changed_trigger_forgets_its_next_tick<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    assert_eq!(app.trigger(&trigger.spec).await, trigger);
    assert_eq!(app.schedules().await, [schedule(&trigger, Some(at))], "an equal spec changes nothing");

    let changed = app.trigger(&TriggerSpec { retry: attempts(2), ..trigger.spec.clone() }).await;

    assert_eq!(app.schedules().await, [schedule(&changed, None)]);
    assert_eq!(app.tick(vec![tick(trigger.id, Some(at), later(&app).await)]).await.1, []);
    assert_eq!((app.deliveries().await, app.schedules().await), (vec![], vec![schedule(&changed, None)]));
}

pub(crate) async fn a_disabled_trigger_does_not_tick<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    app.trigger(&TriggerSpec { enabled: false, ..trigger.spec.clone() }).await;
    assert_eq!(app.schedules().await, []);
    assert_eq!(app.tick(vec![tick(trigger.id, Some(at), later(&app).await)]).await.1, []);
    assert_eq!(app.deliveries().await, []);

    app.trigger(&trigger.spec).await;

    assert_eq!(app.schedules().await, [schedule(&trigger, None)], "a missed tick is not fired");
}

/// A webhook that answers 410 disables its trigger. When the trigger is enabled again, its schedule
/// restarts.
pub(crate) async fn a_trigger_disabled_by_a_dead_verdict_does_not_tick<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    let next = at.plus(Micros(1));
    app.tick(vec![tick(trigger.id, Some(at), next)]).await;
    let row = app.next(trigger.id).await;
    let failed = Attempt { error: ExecError::EndpointStatus(410), ..threw(1, row.due_at, "gone") };
    let verdict = Verdict::Dead {
        reason: DeadReason::Permanent,
        attempts: 1,
        fingerprint: failed.fingerprint(),
        failed: Some(failed),
        disable_trigger: true,
    };
    app.settle(&row, verdict).await;
    assert_eq!(app.schedules().await, []);
    assert_eq!(app.tick(vec![tick(trigger.id, Some(next), later(&app).await)]).await.1, []);

    app.trigger(&trigger.spec).await;

    assert_eq!(app.schedules().await, [schedule(&trigger, None)]);
    assert_eq!(app.deliveries().await, []);
}

/// A paused trigger ticks, and its rows wait until the trigger resumes.
pub(crate) async fn a_paused_trigger_ticks_into_the_outbox<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    app.set_paused("nightly", true).await;
    assert_eq!(app.schedules().await, [schedule(&trigger, Some(at))]);

    app.tick(vec![tick(trigger.id, Some(at), later(&app).await)]).await;

    assert_eq!((app.waiting().await, app.lanes().await), (vec!["nightly".to_owned()], vec![]));
    app.set_paused("nightly", false).await;
    assert_eq!(app.next(trigger.id).await.event.source, Source::Cron);
}

pub(crate) async fn a_deleted_trigger_does_not_tick<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    app.delete_trigger("nightly").await;
    assert_eq!(app.schedules().await, []);

    let (_, woken) = app.tick(vec![tick(trigger.id, Some(at), later(&app).await)]).await;

    assert_eq!((woken, app.deliveries().await), (vec![], vec![]));
}

pub(crate) async fn a_deployment_keeps_the_schedule_of_an_unchanged_trigger<S: Store>(store: Arc<S>) {
    let (app, trigger, at) = with_due_tick(&store).await;
    let changing = app.trigger(&on_cron("changing")).await;
    app.tick(vec![tick(changing.id, None, at)]).await;
    let hourly = tidegate_core::CronExpression::new("0 * * * *").expect("a valid cron expression");
    let rule = Match::Cron { expression: hourly, time_zone: tidegate_core::TimeZone::UTC };
    let deployment = Deployment {
        scripts: Vec::new(),
        triggers: vec![trigger.spec.clone(), spec("changing", rule)],
        renames: Vec::new(),
    };

    AppStore::deploy(&*store, &app.name, &deployment, &registrant()).await.expect("the app is deployed");

    let changed = app.trigger_named("changing").await.expect("the trigger exists");
    assert_eq!(changed.id, changing.id);
    assert_eq!(app.schedules().await, [schedule(&trigger, Some(at)), schedule(&changed, None)]);
}
