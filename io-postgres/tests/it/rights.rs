//! Two roles: the owner of the schema migrates, and a role with few rights serves.

use crate::database::{Database, with_one_trigger};
use sqlx::{AssertSqlSafe, Executor};
use std::time::{Duration, Instant};
use tidegate_core::{Reply, Request, StoreErrorKind};
use tidegate_io_postgres::PgError;
use tidegate_ports::DispatchStore;

#[tokio::test]
async fn a_role_without_the_right_to_create_serves() {
    let (database, owner) = Database::with_store().await;
    let role = database.role("").await;
    let store = database.store_as(&role);

    // Each error names the statements that are missing.
    let mut granted = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.migrate().await {
        assert!(error.is_final() && Instant::now() < deadline, "{error}");
        let text = error.to_string();
        let statements = text.split_once("grant it: ").unwrap_or_else(|| panic!("{text}")).1.to_owned();
        assert!(statements.contains(&role), "{statements}");
        database.client().await.execute(sqlx::raw_sql(AssertSqlSafe(statements.clone()))).await.unwrap();
        granted.push(statements);
    }
    assert_eq!(granted.len(), 2, "the schema, then all objects: {granted:?}");
    assert!(granted.iter().all(|grant| !grant.contains("create")), "{granted:?}");

    store.check_schema().await.unwrap();
    store.enter("one").await.unwrap();
    with_one_trigger(&store).await;
    // The role is not the owner, and may emit in SQL only with a row in `emitters`.
    let reply = store.call(Request::Discover).await.unwrap();
    assert!(matches!(reply, Reply::Discover(_)), "{reply:?}");
    store.ping().await.unwrap();
    store.close().await;
    owner.close().await;
    database.remove_with(&role).await;
}

#[tokio::test]
async fn a_role_that_may_not_create_the_schema_learns_the_grant() {
    let database = Database::make().await;
    let role = database.role("").await;
    let store = database.store_as(&role);
    let error = store.migrate().await.unwrap_err();
    assert!(error.is_final(), "{error}");
    assert!(error.to_string().contains("grant create on database"), "{error}");
    let error = store.check_schema().await.unwrap_err();
    assert!(!error.is_final(), "an operator migrates later: {error}");
    assert!(error.to_string().contains("tidegate migrate"), "{error}");
    database
        .client()
        .await
        .execute(AssertSqlSafe(format!("grant create on database {} to {role}", database.name())))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    database.remove_with(&role).await;
}

#[tokio::test]
async fn another_role_than_the_owner_does_not_migrate() {
    let (database, owner) = Database::with_store().await;
    owner.close().await;
    let role = database
        .role(
            "grant usage on schema tidegate to ROLE; grant all on all tables in schema tidegate to ROLE;
        grant all on all sequences in schema tidegate to ROLE",
        )
        .await;
    database.client().await.execute("delete from tidegate._sqlx_migrations where version = 12").await.unwrap();
    let store = database.store_as(&role);
    let error = store.migrate().await.unwrap_err();
    assert!(error.is_final() && error.to_string().contains("not the owner of the schema"), "{error}");
    store.close().await;
    database.remove_with(&role).await;
}

#[tokio::test]
async fn the_printed_migrations_make_the_schema() {
    let database = Database::make().await;
    let store = database.store();
    let printed = store.migration_sql().await.unwrap();
    database.client().await.execute(sqlx::raw_sql(AssertSqlSafe(printed))).await.unwrap();
    store.check_schema().await.expect("all migrations are recorded");
    assert_eq!(store.migration_sql().await.unwrap(), "");
    store.migrate().await.unwrap();
    with_one_trigger(&store).await;
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_foreign_session_with_the_lock_of_migrations_does_not_stop_a_current_schema() {
    let (database, store) = Database::with_store().await;
    let mut foreign = database.client().await;
    foreign.execute("select pg_advisory_lock(1952736357, 0)").await.unwrap();
    store.migrate().await.expect("a current schema needs no lock");
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_password_that_is_wrong_is_final() {
    let database = Database::make().await;
    let error = database.store_as("tidegate_missing_role").check_connection().await.unwrap_err();
    match &error {
        PgError::Refused(refused) => assert_eq!(refused.kind, StoreErrorKind::Unavailable),
        other => panic!("{other}"),
    }
    assert!(
        error.to_string().contains("Postgres refused the login") && !error.to_string().contains("at line"),
        "{error}"
    );
    database.remove().await;
}
