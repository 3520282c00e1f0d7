//! Emissions in transactions of clients: two-phase commit, COPY, triggers and functions.

use crate::database::{Database, with_one_trigger};
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use testkit::{PgCluster, PgOptions as ClusterOptions};
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_ports::WakeHandle;
use tokio::time::timeout;

async fn rows(client: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from tidegate.outbox").fetch_one(client).await.unwrap()
}

#[tokio::test]
async fn a_prepared_transaction_emits_when_it_is_committed() {
    let settings = vec![("max_prepared_transactions".to_owned(), "2".to_owned())];
    let options = ClusterOptions { max_connections: 20, shared_buffers_mb: 16, settings, env: Vec::new() };
    let server = PgCluster::create(&options).unwrap_or_else(|error| panic!("{error}"));
    let store = PgStore::new(&server.url(), &PgOptions::default()).unwrap();
    store.migrate().await.unwrap();
    with_one_trigger(&store).await;
    let mut client = PgConnection::connect(&server.url()).await.unwrap();

    let emit = "begin; select tidegate.emit('shop', 'x'); prepare transaction 'one'";
    let refused = client.execute(sqlx::raw_sql(emit)).await.expect_err("a transaction that notifies").to_string();
    assert!(refused.contains("NOTIFY"), "{refused}");
    client.execute(sqlx::raw_sql("rollback")).await.unwrap();

    client.execute("set tidegate.notify = off").await.unwrap();
    client.execute(sqlx::raw_sql(emit)).await.unwrap();
    assert_eq!(rows(&mut client).await, 0, "nothing is visible before the commit");
    client.execute(sqlx::raw_sql("commit prepared 'one'")).await.unwrap();
    assert_eq!(rows(&mut client).await, 1);

    client.execute("set tidegate.notify = perhaps").await.unwrap();
    client.execute("select tidegate.emit('shop', 'x')").await.expect_err("the setting is a boolean");
    store.close().await;
}

#[tokio::test]
async fn an_emission_without_a_notification_wakes_no_listener() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let wake = WakeHandle::default();
    let listening = tokio::spawn({
        let (store, wake) = (store.clone(), wake.clone());
        async move { store.listen(wake).await }
    });
    timeout(Duration::from_secs(5), wake.next_wake_up()).await.expect("a wake-up after the registration");
    let mut client = database.client().await;
    client.execute("set tidegate.notify = off").await.unwrap();
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    timeout(Duration::from_millis(300), wake.next_wake_up()).await.expect_err("no notification");
    client.execute("set tidegate.notify = on").await.unwrap();
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    timeout(Duration::from_secs(5), wake.next_wake_up()).await.expect("a wake-up by the notification");
    listening.abort();
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn copy_a_trigger_and_a_function_with_another_search_path_emit() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let mut client = database.client().await;
    let set_up = "create schema other;
        create table other.orders (id integer);
        create function other.emit_order() returns trigger language plpgsql set search_path = other as
            $$ begin perform tidegate.emit('shop', 'order', 'order/' || new.id, to_jsonb(new)); return new; end $$;
        create trigger emits after insert on other.orders for each row execute function other.emit_order()";
    client.execute(sqlx::raw_sql(set_up)).await.unwrap();

    client.execute("insert into other.orders values (1), (2)").await.unwrap();
    let mut copy = client.copy_in_raw("copy other.orders from stdin").await.unwrap();
    copy.send(&b"3\n4\n5\n"[..]).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 3);
    let data = "select data from tidegate.deliveries order by id";
    let data: Vec<serde_json::Value> = sqlx::query_scalar(data).fetch_all(&mut client).await.unwrap();
    let expected: Vec<_> = (1..=5).map(|id| serde_json::json!({ "id": id })).collect();
    assert_eq!(data, expected);
    client.close().await.ok();
    store.close().await;
    database.remove().await;
}
