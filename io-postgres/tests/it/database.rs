//! Creates a database for each test, on the server of `TIDEGATE_TEST_POSTGRES`.

use crate::truth;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::str::FromStr;
use std::sync::Arc;
use tidegate_core::{AppName, PrincipalId, TriggerId, TriggerSpec};
use tidegate_io_postgres::{PgOptions, PgStore};
use tidegate_ports::{AppStore, Deployment, TriggerStore};
use uuid::Uuid;

pub(crate) struct Database {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl Database {
    pub(crate) async fn make() -> Self {
        let url = std::env::var("TIDEGATE_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!("TIDEGATE_TEST_POSTGRES is not set: `cargo xtask test` starts a server and sets it")
        });
        let server = PgConnectOptions::from_str(&url).expect("TIDEGATE_TEST_POSTGRES is a Postgres URL");
        let name = format!("tidegate_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect_with(&server).await.expect("the test server answers");
        let make = AssertSqlSafe(format!("create database {name}"));
        connection.execute(make).await.expect("the user may create databases");
        connection.close().await.ok();
        let (base, options) = url.split_once('?').map_or((url.as_str(), ""), |(base, options)| (base, options));
        let at = base.find("://").map_or(0, |at| at + 3);
        let base = base[at..].find('/').map_or(base, |slash| &base[..at + slash]);
        let url = if options.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{options}") };
        Self { server, name, url }
    }

    pub(crate) async fn with_store() -> (Self, PgStore) {
        let database = Self::make().await;
        let store = database.store();
        store.migrate().await.expect("an empty database can be migrated");
        (database, store)
    }

    pub(crate) fn store(&self) -> PgStore {
        self.store_with(10)
    }

    pub(crate) fn store_with(&self, connections_max: u32) -> PgStore {
        let options = PgOptions { connections_max, ..PgOptions::default() };
        PgStore::new(&self.url, &options).expect("the URL is valid")
    }

    /// Opens a connection of a client that is not a daemon.
    pub(crate) async fn client(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the database answers")
    }

    pub(crate) async fn remove(&self) {
        let mut connection = PgConnection::connect_with(&self.server).await.expect("the test server answers");
        let remove = AssertSqlSafe(format!("drop database {} with (force)", self.name));
        connection.execute(remove).await.expect("the database can be removed");
    }
}

/// Deploys the app `shop` with one trigger for all events.
pub(crate) async fn with_one_trigger(store: &PgStore) -> TriggerId {
    let spec = serde_json::json!({
        "name": "t", "match": {"source": "app", "type": "*"}, "handler": {"native": "n"},
    });
    let spec: TriggerSpec = serde_json::from_value(spec).unwrap();
    let app = AppName::new("shop").unwrap();
    let deployment = Deployment { scripts: vec![], triggers: vec![spec] };
    store.deploy(&app, &deployment, &PrincipalId::new("admin").unwrap()).await.unwrap();
    TriggerStore::list(store, &app).await.unwrap()[0].id
}

/// Runs a scenario on a database of its own. The scenario panics if the schema is wrong.
pub(crate) async fn on_sound_schema<F: Future<Output = ()>>(scenario: impl FnOnce(Arc<Database>) -> F) {
    let (database, store) = Database::with_store().await;
    store.close().await;
    let database = Arc::new(database);
    scenario(Arc::clone(&database)).await;
    truth::check(&database).await;
    database.remove().await;
}
