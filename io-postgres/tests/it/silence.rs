//! Connections that fall silent without an error, and sessions that hold locks for ever.

use crate::database::{Database, with_one_trigger};
use sqlx::{Executor, PgConnection};
use std::time::{Duration, Instant};
use tidegate_core::{AppName, Cause, Collection, Fate, Json, Key, Micros, PrincipalId, StoreError, StoreErrorKind};
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_ports::{Guard, KvStore, PortError, RecordKind, RetentionStore, WakeHandle};
use tokio::time::timeout;

const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const OPTIONS: PgOptions = PgOptions { connections_max: 8, call_timeout: CALL_TIMEOUT };
/// The machine is busy.
const TOLERANCE: Duration = Duration::from_millis(1_500);

async fn put(store: &PgStore, key: &str) -> Result<(), StoreError> {
    let (app, collection, key) = (AppName::new("shop").unwrap(), Collection::new("c").unwrap(), Key::new(key).unwrap());
    let cause = Cause::outside(PrincipalId::new("admin").unwrap());
    match store.put(&app, &collection, &key, Json::null(), Guard::Any, &cause).await {
        Ok(_) => Ok(()),
        Err(PortError::Store(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

/// Opens as many connections as the pool may have.
async fn fill(store: &PgStore) {
    let pings = (0..OPTIONS.connections_max).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.ping().await })
    });
    for ping in pings.collect::<Vec<_>>() {
        ping.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_call_over_a_silent_connection_ends_and_the_next_one_succeeds() {
    let (database, direct) = Database::with_store().await;
    with_one_trigger(&direct).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    fill(&store).await;
    put(&store, "a").await.expect("the proxy forwards");

    proxy.silence_open();
    let start = Instant::now();
    let error = put(&store, "b").await.expect_err("the connection is silent");
    assert!(start.elapsed() < CALL_TIMEOUT + TOLERANCE, "{:?}", start.elapsed());
    assert_eq!((error.fate, error.kind), (Fate::Unknown, StoreErrorKind::Unavailable), "{error}");

    // The other connections are silent, too, and were dropped together.
    let start = Instant::now();
    put(&store, "c").await.expect("a new connection");
    assert!(start.elapsed() < TOLERANCE, "{:?}", start.elapsed());
    database.remove().await;
}

#[tokio::test]
async fn a_ping_reports_a_call_that_waits_for_its_answer() {
    let (database, direct) = Database::with_store().await;
    with_one_trigger(&direct).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    put(&store, "a").await.expect("the proxy forwards");
    proxy.silence_open();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { put(&store, "b").await }
    });
    // New connections work, so only the call shows the silence.
    tokio::time::sleep(CALL_TIMEOUT * 2 / 3).await;
    let error = store.ping().await.expect_err("a call is overdue");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    waiting.await.unwrap().unwrap_err();
    put(&store, "c").await.expect("a new connection");
    store.ping().await.expect("no call is overdue, and the last write succeeded");
    database.remove().await;
}

/// A daemon removes old records on its own, without a caller that gives up.
#[tokio::test]
async fn the_removal_of_old_records_over_a_silent_connection_ends() {
    let (database, _direct) = Database::with_store().await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    let prune = || timeout(CALL_TIMEOUT + TOLERANCE, store.prune(RecordKind::Loops, Micros::ZERO, 1));
    let count = || timeout(CALL_TIMEOUT + TOLERANCE, store.count_old(RecordKind::Loops, Micros::ZERO, 1));
    store.ping().await.expect("the proxy forwards");
    proxy.silence_open();
    prune().await.expect("the removal ends").expect_err("the connection is silent");
    assert_eq!(prune().await.expect("a new connection"), Ok(0));
    store.ping().await.expect("a new connection");
    proxy.silence_open();
    count().await.expect("the count ends").expect_err("the connection is silent");
    database.remove().await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_unavailable() {
    let (database, direct) = Database::with_store().await;
    with_one_trigger(&direct).await;
    let proxy = database.proxy();
    proxy.set_mute(true);
    let store = database.store_behind(&proxy, &OPTIONS);
    let start = Instant::now();
    let error = put(&store, "a").await.unwrap_err();
    assert_eq!((error.fate, error.kind), (Fate::NotApplied, StoreErrorKind::Unavailable), "{error}");
    assert!(start.elapsed() < CALL_TIMEOUT + TOLERANCE, "{:?}", start.elapsed());
    proxy.set_mute(false);
    put(&store, "a").await.expect("the server answers");
    database.remove().await;
}

#[tokio::test]
async fn a_silent_listener_is_replaced() {
    let (database, direct) = Database::with_store().await;
    with_one_trigger(&direct).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    let wake = WakeHandle::default();
    let listening = tokio::spawn({
        let wake = wake.clone();
        async move { store.listen(wake).await }
    });
    timeout(Duration::from_secs(5), wake.next_wake_up()).await.expect("a wake-up after the registration");
    proxy.silence_open();
    timeout(Duration::from_secs(8), wake.next_wake_up()).await.expect("a wake-up after the second registration");
    database.client().await.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    timeout(Duration::from_secs(2), wake.next_wake_up()).await.expect("a wake-up by a notification");
    listening.abort();
    database.remove().await;
}

/// Takes all locks of keys, as a session without any right in the schema can.
async fn lock_all_keys(client: &mut PgConnection, class: i32) {
    let locks = "select pg_advisory_lock($1, n) from generate_series(0, 4095) n";
    sqlx::query(locks).bind(class).execute(client).await.unwrap();
}

#[tokio::test]
async fn a_foreign_session_with_the_locks_of_keys_fails_puts_with_the_reason() {
    let (database, direct) = Database::with_store().await;
    with_one_trigger(&direct).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    let mut foreign = database.client().await;
    // Numbers that another program may use by chance.
    lock_all_keys(&mut foreign, 7231).await;
    put(&store, "a").await.expect("small numbers are not Tidegate's");

    lock_all_keys(&mut foreign, 1_952_736_358).await;
    let start = Instant::now();
    let error = put(&store, "a").await.unwrap_err();
    assert!(start.elapsed() < CALL_TIMEOUT + TOLERANCE, "{:?}", start.elapsed());
    assert_eq!((error.fate, error.kind), (Fate::NotApplied, StoreErrorKind::Unavailable), "{error}");
    assert!(error.message.contains("holds a lock"), "{error}");
    drop(foreign);
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Err(error) = put(&store, "a").await {
        assert!(Instant::now() < deadline, "{error}");
    }
    database.remove().await;
}

/// Makes each statement of a migration slow.
async fn slow_down(database: &Database) {
    let slow = "create function public.slow() returns event_trigger language plpgsql as
            'begin perform pg_sleep(0.02); end';
        create event trigger slow on ddl_command_start execute function public.slow()";
    database.client().await.execute(sqlx::raw_sql(slow)).await.unwrap();
}

#[tokio::test]
async fn a_migration_on_a_server_that_falls_silent_ends() {
    let database = Database::make().await;
    slow_down(&database).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &OPTIONS);
    let migration = tokio::spawn(async move { store.migrate().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.set_mute(true);
    proxy.silence_open();
    let ended = timeout(Duration::from_secs(40), migration).await.expect("the migration ends").unwrap();
    let error = ended.expect_err("the server is silent");
    assert!(!error.is_final(), "a daemon tries again: {error}");
    database.remove().await;
}

#[tokio::test]
async fn a_migration_may_take_longer_than_a_call() {
    let database = Database::make().await;
    slow_down(&database).await;
    let proxy = database.proxy();
    let store = database.store_behind(&proxy, &PgOptions { call_timeout: Duration::from_millis(200), ..OPTIONS });
    let start = Instant::now();
    store.migrate().await.expect("a migration has no deadline");
    assert!(start.elapsed() > Duration::from_secs(1), "the server is slow: {:?}", start.elapsed());
    database.remove().await;
}
