//! Triggers: every field reads back, each change makes a new version, and a new trigger under an
//! old name has a new id.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{
    Backoff, Handler, Isolation, KvOps, Match, Pattern, PrincipalId, RetryPolicySpec, Trigger, TriggerSpec,
};
use tidegate_ports::{PortError, TriggerStore};

fn eve() -> PrincipalId {
    PrincipalId::new("user:eve").expect("a valid principal")
}

async fn put_as_eve<S: Store>(app: &App<S>, spec: &TriggerSpec) -> Trigger {
    TriggerStore::put(&*app.store, &app.name, spec, &eve()).await.expect("the trigger is put")
}

pub(crate) async fn every_kind_of_trigger_reads_back_with_all_fields<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let extreme = RetryPolicySpec {
        max_attempts: 100,
        max_lost: 100,
        backoff: Backoff::Constant,
        base_ms: 604_800_000,
        max_ms: 604_800_000,
        jitter: 1.0,
        max_age_ms: Some(31_536_000_000),
    };
    let fine = RetryPolicySpec { backoff: Backoff::Linear, jitter: 0.000_001, ..RetryPolicySpec::default() };
    let specs = [
        spec(
            "a",
            Match::Kv { ops: KvOps { set: true, delete: false }, collection: pattern("%_*"), key: pattern("[é]\\?") },
        ),
        spec(
            "b",
            Match::Kv { ops: KvOps { set: false, delete: true }, collection: Pattern::any(), key: pattern("a/*") },
        ),
        TriggerSpec {
            handler: Handler::Script(script_name("receipt")),
            retry: extreme.try_into().expect("a valid policy"),
            timeout_ms: 3_600_000.try_into().expect("a valid timeout"),
            max_concurrency: limit(10_000),
            isolation: Isolation::Fresh,
            enabled: false,
            ..spec("c", Match::App { event_type: pattern("order.*"), subject: pattern("a b") })
        },
        TriggerSpec {
            handler: Handler::Webhook("https://example.org/a?b='c'&d=%20".to_owned()),
            retry: fine.try_into().expect("a valid policy"),
            timeout_ms: 1.try_into().expect("a valid timeout"),
            max_concurrency: limit(1),
            ..spec("d", http("POST", "/orders/{id}"))
        },
        on_cron("e"),
        spec("f", Match::DeadLetter { trigger: pattern("pay*") }),
    ];
    let mut triggers = Vec::new();
    for spec in &specs {
        let trigger = app.trigger(spec).await;
        let (id, version) = (trigger.id, trigger.version);
        let expected = Trigger {
            id,
            app: app.name.clone(),
            spec: spec.clone(),
            paused: false,
            registered_by: registrant(),
            version,
        };
        assert_eq!(trigger, expected);
        assert_eq!(app.trigger_named(spec.name.as_str()).await, Some(expected));
        triggers.push(trigger);
    }
    assert_eq!(app.triggers().await, triggers);
}

pub(crate) async fn triggers_are_listed_by_name<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    assert_eq!(app.triggers().await, []);
    let names = ["b", "a_b", "B", "a", "a-b", "_", "a.b", "ab", "9", "aB"];
    for name in names {
        app.trigger(&on_app(name, "go")).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();

    let listed: Vec<_> = app.triggers().await.into_iter().map(|trigger| trigger.spec.name.to_string()).collect();

    assert_eq!(listed, sorted);
}

pub(crate) async fn an_unchanged_trigger_keeps_its_version_and_registrant<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    assert_eq!(put_as_eve(&app, &lane.spec).await, lane);
    assert_eq!(app.trigger_named("lane").await, Some(lane));
}

pub(crate) async fn each_change_of_a_trigger_makes_a_new_version<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let spec = lane.spec.clone();
    let changes = [
        TriggerSpec { rule: Match::App { event_type: pattern("gone"), subject: Pattern::any() }, ..spec.clone() },
        TriggerSpec { handler: Handler::Webhook("https://example.org/".to_owned()), ..spec.clone() },
        TriggerSpec { retry: attempts(2), ..spec.clone() },
        TriggerSpec { timeout_ms: 5.try_into().expect("a valid timeout"), ..spec.clone() },
        TriggerSpec { max_concurrency: limit(1), ..spec.clone() },
        TriggerSpec { isolation: Isolation::Fresh, ..spec.clone() },
        TriggerSpec { enabled: false, ..spec.clone() },
        on_kv("lane", "c", "*"),
        spec,
    ];
    let mut version = lane.version;
    for change in changes {
        let changed = put_as_eve(&app, &change).await;
        assert!(changed.version > version, "{change:?}: {} after {version}", changed.version);
        version = changed.version;
        let (id, app_name) = (lane.id, app.name.clone());
        let expected = Trigger { id, app: app_name, spec: change, paused: false, registered_by: eve(), version };
        assert_eq!(changed, expected);
        assert_eq!(app.trigger_named("lane").await, Some(expected));
    }
}

pub(crate) async fn a_pause_does_not_change_the_trigger_version<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let paused = Trigger { paused: true, ..lane.clone() };

    assert_eq!(app.set_paused("lane", true).await, Some(paused.clone()));
    assert_eq!(app.set_paused("lane", true).await, Some(paused.clone()), "a second pause changes nothing");
    assert_eq!(app.trigger_named("lane").await, Some(paused));
    assert!(
        put_as_eve(&app, &TriggerSpec { retry: attempts(2), ..lane.spec.clone() }).await.paused,
        "a put keeps the pause"
    );
    assert!(!app.set_paused("lane", false).await.expect("the trigger exists").paused);
    assert_eq!(app.set_paused("other", true).await, None);
}

pub(crate) async fn a_deleted_trigger_frees_its_name<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.set_paused("lane", true).await;

    assert!(app.delete_trigger("lane").await);

    assert_eq!((app.trigger_named("lane").await, app.triggers().await), (None, vec![]));
    assert_eq!(app.set_paused("lane", true).await, None);
    assert!(!app.delete_trigger("lane").await, "the trigger is deleted");
    let successor = put_as_eve(&app, &lane.spec).await;
    assert_ne!(successor.id, lane.id);
    assert_eq!((successor.paused, successor.registered_by), (false, eve()));
    assert_eq!(app.trigger_named("lane").await.map(|trigger| trigger.id), Some(successor.id));
    assert!(app.delete_trigger("lane").await, "a name can be reused any number of times");
    app.trigger(&lane.spec).await;
}

pub(crate) async fn a_trigger_name_belongs_to_its_app<S: Store>(store: Arc<S>) {
    let (one, lane) = App::with_lane(&store).await;
    let other = App::named(&store, "other").await;
    assert_eq!(other.trigger_named("lane").await, None);
    assert!(!other.delete_trigger("lane").await);

    let others = other.trigger(&on_kv("lane", "*", "*")).await;

    assert_ne!(others.id, lane.id);
    assert_eq!((one.triggers().await, other.triggers().await), (vec![lane], vec![others]));
}

pub(crate) async fn triggers_of_an_unknown_app_are_an_error<S: Store>(store: Arc<S>) {
    let missing = app_name("missing");
    let name = trigger_name("lane");
    let unknown = PortError::UnknownApp;

    assert_eq!(TriggerStore::list(&*store, &missing).await, Err(unknown.clone()));
    assert_eq!(TriggerStore::get(&*store, &missing, &name).await, Err(unknown.clone()));
    let put = TriggerStore::put(&*store, &missing, &on_app("lane", "go"), &registrant()).await;
    assert_eq!(put, Err(unknown.clone()));
    assert_eq!(TriggerStore::delete(&*store, &missing, &name).await, Err(unknown.clone()));
    assert_eq!(TriggerStore::set_paused(&*store, &missing, &name, true).await, Err(unknown));

    assert_eq!(App::named(&store, "missing").await.triggers().await, [], "nothing was written");
}
