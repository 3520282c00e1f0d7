//! The migrations, and the golden schema.

use crate::database::Database;
use sqlx::{Executor, Row};
use std::path::Path;

#[tokio::test]
async fn six_daemons_migrate_at_once_and_one_migrates_again() {
    let database = Database::make().await;
    let stores: Vec<_> = (0..6).map(|_| database.store()).collect();
    let all: Vec<_> = stores
        .iter()
        .cloned()
        .map(|store| tokio::spawn(async move { store.migrate().await.map_err(|error| error.to_string()) }))
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    stores[0].migrate().await.expect("a second migration changes nothing");
    let outside: i64 =
        sqlx::query_scalar("select count(*) from information_schema.tables where table_schema = 'public'")
            .fetch_one(&mut database.client().await)
            .await
            .unwrap();
    assert_eq!(outside, 0, "all tables are in the schema tidegate");
    for store in stores {
        store.close().await;
    }
    database.remove().await;
}

#[tokio::test]
async fn the_schema_of_a_newer_version_is_not_changed() {
    let (database, store) = Database::with_store().await;
    let newer = "insert into tidegate._sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'of tomorrow', true, '', 0)";
    database.client().await.execute(newer).await.unwrap();

    let error = store.migrate().await.expect_err("the schema is newer").to_string();

    assert!(error.contains("newer Tidegate") && error.contains("9999"), "{error}");
    store.close().await;
    database.remove().await;
}

/// After you add a migration, run it with `TIDEGATE_UPDATE_GOLDEN=1` and read the difference.
#[tokio::test]
async fn the_schema_equals_the_golden_file() {
    let (database, store) = Database::with_store().await;
    let mut client = database.client().await;
    // Postgres omits the schema of objects on the search path, so the path must not depend on the
    // role.
    client.execute("set search_path = ''").await.unwrap();
    let lines = sqlx::query(
        "select 'table ' || table_name || '.' || column_name || ' ' || data_type
                || case is_nullable when 'NO' then ' not null' else '' end
                || coalesce(' default ' || column_default, '') as line
         from information_schema.columns where table_schema = 'tidegate' and table_name <> '_sqlx_migrations'
         union all
         select 'index ' || indexdef from pg_indexes
         where schemaname = 'tidegate' and tablename <> '_sqlx_migrations'
         union all
         select 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
                || coalesce(' set ' || array_to_string(proconfig, ', '), '')
         from pg_proc p where pronamespace = 'tidegate'::regnamespace
         union all
         select 'check ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
         where connamespace = 'tidegate'::regnamespace and contype = 'c'
         order by line",
    )
    .fetch_all(&mut client)
    .await
    .unwrap();
    let found: String = lines.iter().map(|row| row.get::<String, _>("line") + "\n").collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres/schema.golden");
    if std::env::var_os("TIDEGATE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == found, "the schema differs from {}; found:\n{found}", path.display());
    store.close().await;
    database.remove().await;
}
