//! A stored trigger that does not parse is reported, and the others go on.

use crate::world::{App, StoreKind, TESTBED, World, client, tidegate, wait_for};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_schedule_that_does_not_parse_stops_only_its_own_trigger() {
    let world = World::new(StoreKind::Postgres);
    let daemon = world.daemon("d", TESTBED, &[]);
    let app = App::new(client(&daemon), "shop");
    let trigger = |name: &str, rule: serde_json::Value, native: &str| json!({"name": name, "match": rule, "handler": {"native": native}});
    let cron = json!({"source": "cron", "expression": "* * * * * *"});
    let http = json!({"source": "http", "method": "GET", "path": "/"});
    app.deploy(
        &[],
        &[trigger("bad", cron.clone(), "noop"), trigger("good", cron, "noop"), trigger("page", http, "answer_204")],
    );
    let url = world.spec("x", TESTBED, &[]).env.into_iter().find(|(name, _)| name == "TIDEGATE_STORE_URL").unwrap().1;
    let broken = "update tidegate.triggers set spec = jsonb_set(spec, '{match,time_zone}', '\"Mars/Olympus\"'), \
                  next_tick = null where name = 'bad'";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute(broken).await.unwrap();
        connection.close().await.unwrap();
    });

    let done = || {
        let text = app.client.get("/metrics").text;
        crate::metrics::value(&text, "tidegate_deliveries_settled_total", &["trigger=\"good\"", "done"])
    };
    let before = done();
    wait_for("the other schedule to tick", TIMEOUT, || (done() >= before + 2.0).then_some(()));
    assert_eq!(app.client.get("/http/shop/").status, 204, "HTTP triggers answer");
    let list = app.client.get(&app.path("/triggers")).ok();
    assert_eq!(list["triggers"].as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!((&list["invalid"][0]["name"], &list["invalid"][0]["state"]), (&json!("bad"), &json!("invalid")));
    assert!(list["invalid"][0]["reason"].as_str().unwrap().contains("Mars/Olympus"), "{list}");
    let shown = app.client.get(&app.path("/triggers/bad"));
    assert_eq!((shown.status, shown.header("tidegate-code")), (409, Some("trigger_invalid")), "{shown:?}");
    assert!(app.client.get("/metrics").text.contains("tidegate_triggers_invalid 1"));
    let table = tidegate(&daemon, &["--app", "shop", "triggers"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("invalid: ") && table.contains("Mars/Olympus"), "{table}");
}
