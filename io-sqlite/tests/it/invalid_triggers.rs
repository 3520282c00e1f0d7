//! A stored trigger that does not parse does not stop the others.

use rusqlite::Connection;
use tempfile::TempDir;
use tidegate_core::{AppName, PrincipalId, Reply, Request, TriggerSpec};
use tidegate_io_sqlite::{SqliteOptions, SqliteStore};
use tidegate_ports::{AppStore, Change, Deployment, DispatchStore, TriggerStore};

#[tokio::test]
async fn a_schedule_that_does_not_parse_is_listed_apart_and_can_be_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let cron = |name: &str| -> TriggerSpec {
        let spec = serde_json::json!({
            "name": name, "match": {"source": "cron", "expression": "* * * * *"}, "handler": {"native": "n"},
        });
        serde_json::from_value(spec).unwrap()
    };
    let (app, by) = (AppName::new("shop").unwrap(), PrincipalId::new("admin").unwrap());
    let both = Deployment { scripts: vec![], triggers: vec![cron("bad"), cron("good")], renames: vec![] };
    store.deploy(&app, &both, &by).await.unwrap();
    let file = Connection::open(&path).unwrap();
    let broken = "update triggers set spec = json_set(spec, '$.match.time_zone', 'Mars/Olympus') where name = 'bad'";
    file.execute(broken, ()).unwrap();

    let Ok(Reply::Discover(reply)) = store.call(Request::Discover).await else { panic!("the discovery is answered") };
    assert_eq!(reply.schedules.len(), 1, "the other schedule goes on");
    let names =
        |list: Vec<tidegate_core::Trigger>| list.iter().map(|one| one.spec.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(TriggerStore::list(&store, &app).await.unwrap()), ["good"]);
    assert_eq!(TriggerStore::get(&store, &app, &cron("bad").name).await.unwrap(), None);
    let invalid = store.invalid().await.unwrap();
    assert_eq!((invalid.len(), invalid[0].name.as_str(), &invalid[0].app), (1, "bad", &app));
    assert!(invalid[0].reason.contains("Mars/Olympus"), "{invalid:?}");

    let report = store.deploy(&app, &both, &by).await.unwrap();
    assert_eq!(report.triggers[0], ("bad".to_owned(), Change::Updated));
    assert_eq!(store.invalid().await.unwrap(), []);
    store.close().await;
}
