//! `tidegate.emit` and notifications, as any client uses them in its own transaction.

use crate::database::{Database, with_one_trigger};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::postgres::{PgDatabaseError, PgListener};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::time::Duration;
use tidegate_core::{AppName, Cause, EventType, Json, NewEvent, Pattern, PrincipalId, Subject};
use tidegate_ports::{Emission, OutboxStore, WakeHandle};

async fn rows(client: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from tidegate.outbox").fetch_one(client).await.unwrap()
}

#[tokio::test]
async fn an_emit_commits_and_rolls_back_with_its_transaction() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let mut client = database.client().await;
    client.execute("create table orders (id int)").await.unwrap();

    let mut transaction = client.begin().await.unwrap();
    transaction.execute("insert into orders values (1)").await.unwrap();
    transaction.execute("select tidegate.emit('shop', 'order.created', 'orders/1', '{\"total\": 12}')").await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(rows(&mut client).await, 0);

    let mut transaction = client.begin().await.unwrap();
    transaction.execute("insert into orders values (1)").await.unwrap();
    transaction
        .execute(
            "select tidegate.emit(app => 'shop', type => 'order.created', data => jsonb_build_object('total', 12))",
        )
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let row =
        sqlx::query("select actor, depth, data::text, subject, event_id = root_id as is_root from tidegate.deliveries")
            .fetch_one(&mut client)
            .await
            .unwrap();
    assert!(row.get::<String, _>("actor").starts_with("sql:"));
    assert_eq!(row.get::<String, _>("data"), "{\"total\": 12}");
    assert_eq!((row.get::<i32, _>("depth"), row.get::<String, _>("subject").as_str()), (0, ""));
    assert!(row.get::<bool, _>("is_root"));
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn an_invalid_emit_is_refused_with_a_reason() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let mut client = database.client().await;
    for (statement, words) in [
        ("select tidegate.emit('unknown', 'x')", "there is no app 'unknown'"),
        ("select tidegate.emit('shop', '')", "the event type '' is not valid"),
        ("select tidegate.emit('shop', null)", "the event type NULL is not valid"),
        ("select tidegate.emit('shop', E'a\\nb')", "is not valid"),
        ("select tidegate.emit('shop', 'x', repeat('s', 769))", "the subject"),
        (
            "select tidegate.emit('shop', 'x', data => to_jsonb(repeat('x', 262143)))",
            "the data of the event is 262145 bytes long",
        ),
    ] {
        let error = client.execute(statement).await.expect_err(statement).to_string();
        assert!(error.contains(words), "{statement}: {error}");
    }
    assert_eq!(rows(&mut client).await, 0);
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_transaction_with_many_emits_notifies_once() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let mut client = database.client().await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let options = client_options(&database).await;
    let mut listener = PgListener::connect_with(&pool.connect_with(options).await.unwrap()).await.unwrap();
    listener.ignore_pool_close_event(true);
    listener.listen("tidegate_outbox").await.unwrap();

    client.execute("select tidegate.emit('shop', 'x') from generate_series(1, 5)").await.unwrap();
    let patience = Duration::from_secs(5);
    let first = tokio::time::timeout(patience, listener.recv()).await.expect("a notification arrives").unwrap();
    assert_eq!(first.payload(), "");
    let second = tokio::time::timeout(Duration::from_millis(300), listener.recv()).await;
    assert!(second.is_err(), "one notification for the whole transaction: {second:?}");
    drop(listener);
    store.close().await;
    database.remove().await;
}

async fn client_options(database: &Database) -> sqlx::postgres::PgConnectOptions {
    use std::str::FromStr;
    let name: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut database.client().await).await.unwrap();
    let url = std::env::var("TIDEGATE_TEST_POSTGRES").unwrap();
    sqlx::postgres::PgConnectOptions::from_str(&url).unwrap().database(&name)
}

#[tokio::test]
async fn listening_survives_a_lost_connection() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let wake = WakeHandle::default();
    let listening = tokio::spawn({
        let (store, wake) = (store.clone(), wake.clone());
        async move { store.listen(wake).await }
    });
    let mut client = database.client().await;
    let patience = Duration::from_secs(10);
    let woken = || tokio::time::timeout(patience, wake.next_wake_up());
    assert!(woken().await.expect("a wake-up after the registration").discover);
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    assert!(woken().await.expect("a wake-up by a notification").discover);

    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and query ilike 'listen%'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&mut client).await.unwrap();
    assert_eq!(cut, 1);
    assert!(woken().await.expect("a wake-up after the second registration").discover);
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    assert!(woken().await.expect("a wake-up by a notification").discover);
    listening.abort();
    store.close().await;
    database.remove().await;
}

/// The emissions of a daemon notify the other daemons. Its own dispatcher is woken in the process,
/// without a notification.
#[tokio::test]
async fn an_emission_notifies_the_other_stores_and_not_its_own() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let other = database.store();
    let (own_wake, other_wake) = (WakeHandle::default(), WakeHandle::default());
    let patience = Duration::from_secs(10);
    let mut listening = Vec::new();
    for (store, wake) in [(&store, &own_wake), (&other, &other_wake)] {
        let (store, wake) = (store.clone(), wake.clone());
        listening.push(tokio::spawn({
            let wake = wake.clone();
            async move { store.listen(wake).await }
        }));
        tokio::time::timeout(patience, wake.next_wake_up()).await.expect("a wake-up after the registration");
    }
    let emission = Emission {
        app: AppName::new("shop").unwrap(),
        events: vec![NewEvent {
            event_type: EventType::new("x").unwrap(),
            subject: Subject::new("").unwrap(),
            data: Json::null(),
        }],
        cause: Cause::outside(PrincipalId::new("admin").unwrap()),
        idempotency_key: None,
    };
    for _ in 0..3 {
        let lanes = OutboxStore::emit(&store, &emission).await.unwrap().swap_remove(0).lanes;
        let woken =
            tokio::time::timeout(patience, other_wake.next_wake_up()).await.expect("a wake-up by a notification");
        assert_eq!(
            (woken.lanes, woken.discover),
            (lanes, true),
            "the lane is named, so it does not wait for the discovery"
        );
    }
    // This notification arrives after all earlier ones.
    database.client().await.execute("notify tidegate_outbox").await.unwrap();
    tokio::time::timeout(patience, other_wake.next_wake_up()).await.expect("a wake-up by a notification");
    let own = tokio::time::timeout(patience, own_wake.next_wake_up())
        .await
        .expect("a wake-up by the notification of another client");
    assert!(own.discover);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), own_wake.next_wake_up()).await.is_err(),
        "one wake-up, not four"
    );
    listening.iter().for_each(tokio::task::JoinHandle::abort);
    store.close().await;
    other.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_role_with_a_row_in_emitters_may_emit_for_this_app_and_nothing_else() {
    let (database, store) = Database::with_store().await;
    with_one_trigger(&store).await;
    let mut client = database.client().await;
    let role = format!("shop_{}", uuid::Uuid::now_v7().simple());
    let statement = |text: &str| sqlx::AssertSqlSafe(text.replace("ROLE", &role));
    let set_up = "create role ROLE; grant usage on schema tidegate to ROLE;
        insert into tidegate.apps values ('other', now()); set session authorization ROLE";
    client.execute(sqlx::raw_sql(statement(set_up))).await.unwrap();
    let refused = client.execute("select tidegate.emit('shop', 'x')").await.expect_err("no row allows the role");
    let hint = refused.as_database_error().unwrap().downcast_ref::<PgDatabaseError>().hint().unwrap().to_owned();
    let allow = hint.split_once("allow it: ").unwrap().1.to_owned();
    client
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "reset session authorization; {allow} set session authorization {role}"
        ))))
        .await
        .unwrap();

    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    let other = client.execute("select tidegate.emit('other', 'x')").await.expect_err("the row names one app");
    assert!(other.to_string().contains("may not emit events of the app other"), "{other}");

    for closed in ["select * from tidegate.outbox", "select tidegate.renew('{}', '{}', 0)", "delete from tidegate.kv"] {
        let refused = client.execute(closed).await.expect_err(closed).to_string();
        assert!(refused.contains("permission denied"), "{closed}: {refused}");
    }
    client.execute(statement("reset session authorization; drop owned by ROLE; drop role ROLE")).await.unwrap();
    assert_eq!(rows(&mut client).await, 1);
    store.close().await;
    database.remove().await;
}

/// Compares 3,000 random pairs with the core's matcher, in one round trip.
#[tokio::test]
async fn patterns_match_as_in_the_core() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    let pairs = (r"[ab*%_\\\[\]?é]{1,8}", r"[ab*%_\\\[\]?é]{0,10}");
    let mut runner = TestRunner::deterministic();
    let (mut patterns, mut texts) = (Vec::new(), Vec::new());
    while patterns.len() < 3_000 {
        let (pattern, text): (String, String) = pairs.new_tree(&mut runner).unwrap().current();
        if Pattern::new(&*pattern).is_ok() {
            patterns.push(pattern);
            texts.push(text);
        }
    }
    let matches: Vec<bool> = sqlx::query_scalar(
        "select tidegate.pattern_matches(p, t) from unnest($1::text[], $2::text[]) with ordinality as c (p, t, n) order by n",
    )
    .bind(&patterns)
    .bind(&texts)
    .fetch_all(&mut client)
    .await
    .unwrap();
    let mut yes = 0;
    for ((pattern, text), matched) in patterns.iter().zip(&texts).zip(matches) {
        assert_eq!(matched, Pattern::new(&**pattern).unwrap().matches(text), "{pattern:?} on {text:?}");
        yes += u32::from(matched);
    }
    assert!(yes > 100, "only {yes} of the pairs match: the test is too weak");
    store.close().await;
    database.remove().await;
}
