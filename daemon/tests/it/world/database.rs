use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::{Builder, Runtime};

/// A new database on the shared server. It is dropped with this value.
pub(super) struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    pub(super) fn create() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("TIDEGATE_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!(
                "TIDEGATE_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a server, or evaluate the \
                 output of `cargo xtask postgres`"
            )
        });
        let name = format!("acceptance_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let url = with_database(&server, &name);
        execute(&server, format!("create database {name}")).expect("the user may create databases");
        Self { server, name, url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // If a test fails, the server may be down. The server itself is temporary.
        let _ = execute(&self.server, format!("drop database {} with (force)", self.name));
    }
}

/// `postgres://user:password@host:port/database?options` with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, options) = url.split_once('?').map_or((url, None), |(base, options)| (base, Some(options)));
    let authority_at = base.find("://").map_or(0, |at| at + 3);
    let server = base[authority_at..].find('/').map_or(base, |at| &base[..authority_at + at]);
    options.map_or_else(|| format!("{server}/{name}"), |options| format!("{server}/{name}?{options}"))
}

pub(super) fn execute(url: &str, statement: String) -> Result<(), sqlx::Error> {
    runtime().block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await
    })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be created")
}

#[test]
fn with_database_replaces_only_the_database() {
    for (url, expected) in [
        ("postgres://u:p@h:5/postgres", "postgres://u:p@h:5/x"),
        ("postgres://u:p@h:5", "postgres://u:p@h:5/x"),
        ("postgres://u@h/a?sslmode=disable", "postgres://u@h/x?sslmode=disable"),
    ] {
        assert_eq!(with_database(url, "x"), expected);
    }
}
