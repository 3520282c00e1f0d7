//! Creates a database for each test, on the server of `TIDEGATE_TEST_POSTGRES`.

use crate::truth;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::net::ToSocketAddrs;
use std::str::FromStr;
use std::sync::Arc;
use testkit::Proxy;
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

    /// A store that reaches the server through a proxy.
    pub(crate) fn store_behind(&self, proxy: &Proxy, options: &PgOptions) -> PgStore {
        let place = format!("{}:{}", self.server.get_host(), self.server.get_port());
        let url = self.url.replace(&place, &format!("127.0.0.1:{}", proxy.port()));
        assert_ne!(url, self.url, "the URL of the test server has a host and a port");
        PgStore::new(&url, options).expect("the URL is valid")
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Creates a role that may log in, and runs statements in which `ROLE` and `DATABASE` are
    /// names.
    pub(crate) async fn role(&self, statements: &str) -> String {
        let role = format!("tidegate_{}", Uuid::now_v7().simple());
        let text = format!("create role ROLE login password 'p'; {statements}");
        let text = text.replace("ROLE", &role).replace("DATABASE", &self.name);
        self.client().await.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.expect("the user may create roles");
        role
    }

    /// A store that logs in as a role of [`Self::role`].
    pub(crate) fn store_as(&self, role: &str) -> PgStore {
        let (scheme, rest) = self.url.split_once("://").expect("a URL has a scheme");
        let place = rest.split_once('@').map_or(rest, |(_, place)| place);
        PgStore::new(&format!("{scheme}://{role}:p@{place}"), &PgOptions::default()).expect("the URL is valid")
    }

    /// Removes the database, and then a role of [`Self::role`].
    pub(crate) async fn remove_with(&self, role: &str) {
        self.remove().await;
        let mut connection = PgConnection::connect_with(&self.server).await.expect("the test server answers");
        connection.execute(AssertSqlSafe(format!("drop role {role}"))).await.expect("nothing depends on the role");
    }

    /// Starts a proxy before the server.
    pub(crate) fn proxy(&self) -> Proxy {
        let mut addresses = (self.server.get_host(), self.server.get_port()).to_socket_addrs().unwrap();
        Proxy::start(addresses.next().unwrap())
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
    let deployment = Deployment { scripts: vec![], triggers: vec![spec], renames: Vec::new() };
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
