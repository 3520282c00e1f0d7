//! Databases and roles whose defaults change the meaning of SQL.

use crate::database::{Database, with_one_trigger};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::time::Duration;
use tidegate_core::{AppName, Cause, Collection, Json, Key, PrincipalId, Reply, Request};
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_ports::{DispatchStore, Guard, KvStore};

/// Defaults of another server, and defaults that end what a daemon does.
const HOSTILE: &[(&str, &str)] = &[
    ("standard_conforming_strings", "off"),
    ("search_path", "hostile, public, pg_catalog"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("bytea_output", "escape"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Pacific/Chatham"),
    ("extra_float_digits", "-15"),
    ("row_security", "off"),
    ("transform_null_equals", "on"),
    ("statement_timeout", "100"),
    ("lock_timeout", "100"),
    ("idle_in_transaction_session_timeout", "100"),
    ("idle_session_timeout", "500"),
    ("client_encoding", "LATIN1"),
    ("client_min_messages", "debug1"),
    ("backslash_quote", "off"),
    ("escape_string_warning", "on"),
];

/// Functions that hide those of Postgres on the search path.
const HIDING: &str = "create schema hostile;
    create function hostile.clock_timestamp() returns timestamptz language sql as 'select null::timestamptz';
    create function hostile.to_json(anyelement) returns json language sql as 'select null::json';
    create function hostile.pg_notify(text, text) returns void language plpgsql as 'begin raise exception ''hidden''; end';
    create function hostile.max_of(integer) returns integer language sql as 'select 1'";

async fn set_defaults(client: &mut PgConnection, object: &str) {
    for (name, value) in HOSTILE {
        let value = if *name == "search_path" { (*value).to_owned() } else { format!("'{value}'") };
        client.execute(AssertSqlSafe(format!("alter {object} set {name} = {value}"))).await.unwrap();
    }
}

/// Migrates, deploys, puts, emits and claims.
async fn check(store: &PgStore) {
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    let trigger = with_one_trigger(store).await;
    let (app, collection, key) =
        (AppName::new("shop").unwrap(), Collection::new("c").unwrap(), Key::new(r"a\'b").unwrap());
    let cause = Cause::outside(PrincipalId::new("admin").unwrap());
    let value = Json::from_store(r#"{"a": "\\é\u0001"}"#.to_owned());
    store.put(&app, &collection, &key, value.clone(), Guard::Any, &cause).await.unwrap();
    assert_eq!(store.get(&app, &collection, &key).await.unwrap().unwrap().value, value);
    let Reply::Discover(found) = store.call(Request::Discover).await.unwrap() else { panic!("another reply") };
    assert!(found.lanes.iter().any(|lane| lane.trigger == trigger), "{found:?}");
    // Longer than the default of the idle session.
    tokio::time::sleep(Duration::from_millis(800)).await;
    store.ping().await.unwrap();
}

#[tokio::test]
async fn the_defaults_of_a_database_change_nothing() {
    let database = Database::make().await;
    let mut client = database.client().await;
    client.execute(sqlx::raw_sql(HIDING)).await.unwrap();
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&mut client).await.unwrap();
    set_defaults(&mut client, &format!("database {name}")).await;

    let store = database.store();
    // The deployment needs an event, which a client with the hostile defaults emits.
    store.migrate().await.unwrap();
    with_one_trigger(&store).await;
    let mut hostile = database.client().await;
    let emit = "set statement_timeout = 0; set lock_timeout = 0;
        select tidegate.emit('shop', 'x', E'a/\\u00e9')";
    hostile.execute(sqlx::raw_sql(emit)).await.unwrap();
    check(&store).await;
    let tables = "select count(*) from information_schema.tables where table_schema in ('public', 'hostile')";
    let outside: i64 = sqlx::query_scalar(tables).fetch_one(&mut client).await.unwrap();
    assert_eq!(outside, 0, "all tables are in the schema tidegate");
    client.close().await.ok();
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_proxy_that_drops_start_up_parameters_changes_nothing() {
    let database = Database::make().await;
    let mut client = database.client().await;
    set_defaults(&mut client, &format!("database {}", database.name())).await;
    let proxy = database.proxy();
    proxy.drop_parameters();
    let store = database.store_behind(&proxy, &PgOptions::default());
    store.migrate().await.unwrap();
    with_one_trigger(&store).await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    check(&store).await;
    let outside = "select count(*) from information_schema.tables where table_schema = 'public'";
    let outside: i64 = sqlx::query_scalar(outside).fetch_one(&mut client).await.unwrap();
    assert_eq!(outside, 0, "all tables are in the schema tidegate");
    database.store().migrate().await.expect("a later start without the proxy finds the schema");
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn the_defaults_of_a_role_change_nothing() {
    let database = Database::make().await;
    let mut client = database.client().await;
    client.execute(sqlx::raw_sql(HIDING)).await.unwrap();
    let role = database.role("grant all on schema hostile to ROLE; alter database DATABASE owner to ROLE").await;
    set_defaults(&mut client, &format!("role {role}")).await;
    let store = database.store_as(&role);
    store.migrate().await.unwrap();
    client.execute("select tidegate.emit('shop', 'x')").await.expect_err("there is no app yet");
    with_one_trigger(&store).await;
    client.execute("select tidegate.emit('shop', 'x')").await.unwrap();
    check(&store).await;
    store.close().await;
    database.remove_with(&role).await;
}
