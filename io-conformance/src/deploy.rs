//! A deployment replaces the scripts and triggers of an app in one transaction. Equal scripts and
//! triggers stay unchanged.

use crate::Store;
use crate::support::*;
use std::sync::Arc;
use tidegate_core::{Handler, PrincipalId, TriggerSpec};
use tidegate_ports::{AppStore, AppSummary, Change, DeployReport, Deployment, DeploymentScript, TriggerRename};

async fn deploy<S: Store>(app: &App<S>, deployment: &Deployment, by: &str) -> DeployReport {
    let by = PrincipalId::new(by).expect("a valid principal");
    AppStore::deploy(&*app.store, &app.name, deployment, &by).await.expect("the app is deployed")
}

fn deployment(scripts: &[(&str, &str)], triggers: Vec<TriggerSpec>) -> Deployment {
    let script =
        |(name, source): &(&str, &str)| DeploymentScript { name: script_name(name), source: (*source).to_owned() };
    Deployment { scripts: scripts.iter().map(script).collect(), triggers, renames: Vec::new() }
}

fn report(scripts: &[(&str, Change)], triggers: &[(&str, Change)]) -> DeployReport {
    let named =
        |changes: &[(&str, Change)]| changes.iter().map(|(name, change)| ((*name).to_owned(), *change)).collect();
    DeployReport { scripts: named(scripts), triggers: named(triggers) }
}

async fn apps(store: &Arc<impl Store>) -> Vec<AppSummary> {
    AppStore::list(&**store).await.expect("the apps are listed")
}

pub(crate) async fn the_first_deployment_creates_the_app<S: Store>(store: Arc<S>) {
    let app = App { store: Arc::clone(&store), name: app_name("orders") };
    assert_eq!(apps(&store).await, []);
    assert!(!AppStore::exists(&*store, &app.name).await.expect("the apps are read"));

    let reported = deploy(&app, &deployment(&[("b", "2"), ("a", "1")], vec![on_app("t", "go")]), "user:ada").await;

    use Change::Created;
    assert_eq!(reported, report(&[("a", Created), ("b", Created)], &[("t", Created)]));
    assert!(AppStore::exists(&*store, &app.name).await.expect("the apps are read"));
    let scripts: Vec<_> = app.scripts().await.into_iter().map(|script| (script.name, script.source)).collect();
    assert_eq!(scripts, [(script_name("a"), "1".to_owned()), (script_name("b"), "2".to_owned())]);
    let [trigger] = &app.triggers().await[..] else { panic!("not exactly one trigger") };
    assert_eq!((&trigger.spec, &trigger.registered_by), (&on_app("t", "go"), &registrant()));
}

pub(crate) async fn apps_are_listed_by_name_and_keep_their_creation_time<S: Store>(store: Arc<S>) {
    for name in ["b", "a-b", "ab", "a_b", "9"] {
        App::named(&store, name).await;
    }
    let listed = apps(&store).await;
    let names: Vec<_> = listed.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["9", "a-b", "a_b", "ab", "b"]);

    let again = App::named(&store, "b").await;
    deploy(&again, &deployment(&[("a", "1")], vec![]), "user:eve").await;

    assert_eq!(apps(&store).await, listed);
}

/// One deployment by another principal creates, changes, keeps and deletes one script and one
/// trigger each.
pub(crate) async fn a_deployment_reports_its_changes<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let first = deployment(
        &[("changes", "1"), ("goes", "1"), ("stays", "1")],
        vec![on_app("stays", "go"), on_app("goes", "go"), on_app("changes", "go")],
    );
    deploy(&app, &first, "user:ada").await;
    let (scripts, triggers) = (app.scripts().await, app.triggers().await);
    let changed = TriggerSpec { handler: Handler::Script(script_name("new")), ..on_app("changes", "go") };
    let second = deployment(
        &[("stays", "1"), ("new", "1"), ("changes", "2")],
        vec![on_kv("new", "*", "*"), changed.clone(), on_app("stays", "go")],
    );

    let reported = deploy(&app, &second, "user:eve").await;

    use Change::{Created, Deleted, Unchanged, Updated};
    let expected = [("changes", Updated), ("goes", Deleted), ("new", Created), ("stays", Unchanged)];
    assert_eq!(reported, report(&expected, &expected));
    let (scripts_now, triggers_now) = (app.scripts().await, app.triggers().await);
    let names: Vec<_> = scripts_now.iter().map(|script| (script.name.as_str(), script.source.as_str())).collect();
    assert_eq!(names, [("changes", "2"), ("new", "1"), ("stays", "1")]);
    assert!(scripts_now[0].version > scripts[0].version);
    assert_eq!(scripts_now[2], scripts[2], "an unchanged script keeps its version and time");
    let specs: Vec<_> = triggers_now.iter().map(|trigger| &trigger.spec).collect();
    assert_eq!(specs, [&changed, &on_kv("new", "*", "*"), &on_app("stays", "go")]);
    assert_eq!(triggers_now[0].id, triggers[0].id);
    assert!(triggers_now[0].version > triggers[0].version);
    assert_eq!(triggers_now[0].registered_by.as_str(), "user:eve");
    assert_eq!(triggers_now[2], triggers[2], "an unchanged trigger keeps its version and registrant");
}

pub(crate) async fn a_renamed_trigger_keeps_its_deliveries<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    deploy(&app, &deployment(&[], vec![on_app("old", "go"), on_app("kept", "never")]), "user:ada").await;
    app.go(2).await;
    let before = app.triggers().await;
    let rename = |from: &str, to: &str| TriggerRename { from: trigger_name(from), to: trigger_name(to) };
    let renamed = |spec: TriggerSpec| Deployment {
        renames: vec![rename("old", "new"), rename("none", "kept"), rename("kept", "new")],
        ..deployment(&[], vec![spec, on_app("kept", "never")])
    };

    let reported = deploy(&app, &renamed(on_app("new", "go")), "user:ada").await;

    use Change::{Renamed, Unchanged, Updated};
    assert_eq!(reported, report(&[], &[("kept", Unchanged), ("new", Renamed)]));
    let after = app.triggers().await;
    assert_eq!((after[1].id, &after[1].spec), (before[1].id, &on_app("new", "go")));
    assert_eq!(after[0], before[0]);
    let rows = app.claim(after[1].id, 10).await;
    assert_eq!(rows.iter().map(|row| row.trigger_name.as_str()).collect::<Vec<_>>(), ["new", "new"]);
    let again = deploy(&app, &renamed(on_app("new", "went")), "user:ada").await;
    assert_eq!(again, report(&[], &[("kept", Unchanged), ("new", Updated)]), "a rename has an effect once");
}

pub(crate) async fn the_same_deployment_changes_nothing<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let same = deployment(&[("a", "1")], vec![on_app("t", "go"), on_dead_letter("u", "t")]);
    deploy(&app, &same, "user:ada").await;
    let before = app.snapshot().await;

    let reported = deploy(&app, &same, "user:eve").await;

    use Change::Unchanged;
    assert_eq!(reported, report(&[("a", Unchanged)], &[("t", Unchanged), ("u", Unchanged)]));
    assert_eq!(app.snapshot().await, before);
}

pub(crate) async fn a_paused_trigger_stays_paused<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.set_paused("lane", true).await;
    let changed = TriggerSpec { retry: attempts(2), ..lane.spec.clone() };
    for spec in [lane.spec, changed] {
        deploy(&app, &deployment(&[], vec![spec.clone()]), "user:ada").await;
        let trigger = app.trigger_named("lane").await.expect("the trigger exists");
        assert_eq!((trigger.spec, trigger.paused), (spec, true));
    }
}

pub(crate) async fn a_deployment_deletes_absent_triggers<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    app.put("c", "k", "1").await;
    app.go(1).await;

    let reported = deploy(&app, &deployment(&[], vec![]), "user:ada").await;

    assert_eq!(reported, report(&[], &[("lane", Change::Deleted)]));
    assert_eq!(woken(&app.go(1).await[0]), []);
    assert_eq!(app.next(lane.id).await.handler, None);
    assert_eq!(app.value("c", "k").await.as_deref(), Some("1"), "a deployment does not change data");
    deploy(&app, &deployment(&[], vec![lane.spec]), "user:ada").await;
    assert_ne!(app.trigger_named("lane").await.expect("the trigger exists").id, lane.id);
}

pub(crate) async fn a_deployment_changes_no_other_app<S: Store>(store: Arc<S>) {
    let (other, _) = App::with_lane(&store).await;
    deploy(&other, &deployment(&[("a", "1")], vec![on_app("lane", "go")]), "user:ada").await;
    let before = other.snapshot().await;

    let app = App::named(&store, "mine").await;
    deploy(&app, &deployment(&[("a", "2")], vec![on_kv("lane", "*", "*")]), "user:eve").await;
    deploy(&app, &deployment(&[], vec![]), "user:eve").await;

    assert_eq!(other.snapshot().await, before);
}

/// Two versions of an app replace each other while events are emitted. Each event matches all
/// triggers of one version.
pub(crate) async fn a_reader_sees_a_whole_deployment_or_none_of_it<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let version =
        |name: &str| deployment(&[(name, name)], ["1", "2", "3"].map(|n| on_app(&format!("{name}{n}"), "go")).into());
    let versions = [version("blue"), version("green")];
    deploy(&app, &versions[0], "user:ada").await;
    let deployer = {
        let (app, versions) = (app.clone(), versions.clone());
        tokio::spawn(async move {
            for n in 1..=20 {
                deploy(&app, &versions[n % 2], "user:ada").await;
            }
        })
    };

    let mut reads = 0;
    while !deployer.is_finished() || reads < 20 {
        let names: Vec<_> = app.triggers().await.into_iter().map(|trigger| trigger.spec.name.to_string()).collect();
        assert!(names == ["blue1", "blue2", "blue3"] || names == ["green1", "green2", "green3"], "{names:?}");
        let names: Vec<_> = app.scripts().await.into_iter().map(|script| script.source).collect();
        assert!(names == ["blue"] || names == ["green"], "{names:?}");
        let event = app.go(1).await.remove(0).event_id;
        let rows = app.deliveries().await.into_iter().filter(|row| row.event.id == event);
        let names: Vec<_> = rows.map(|row| row.trigger.to_string()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().all(|name| name[..4] == names[0][..4]), "{names:?}");
        reads += 1;
    }
    deployer.await.expect("the deployer ends");
}

pub(crate) async fn concurrent_deployments_leave_exactly_one_of_them<S: Store>(store: Arc<S>) {
    let app = App { store: Arc::clone(&store), name: app_name("orders") };
    let version = |n: usize| deployment(&[("s", &n.to_string())], vec![on_app("t", &n.to_string())]);
    for _ in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..6 {
            let app = app.clone();
            tasks.spawn(async move { deploy(&app, &version(n), "user:ada").await });
        }
        tasks.join_all().await;

        let [script] = &app.scripts().await[..] else { panic!("not exactly one script") };
        let winner = script.source.parse().expect("the source is a number");
        let [trigger] = &app.triggers().await[..] else { panic!("not exactly one trigger") };
        assert_eq!(trigger.spec, version(winner).triggers[0]);
    }
    assert_eq!(apps(&store).await.len(), 1);
}
