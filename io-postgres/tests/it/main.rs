//! The conformance suite on Postgres, and tests of the guarantees that only this store gives.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like the tests that call them")]
#![expect(clippy::disallowed_methods, reason = "tests read their settings from the environment")]

mod broken;
mod clocks;
mod costs;
mod database;
mod held_transaction;
mod hostile;
mod hot_path;
mod invalid_triggers;
mod lane;
mod limited_calls;
mod moved_rows;
mod outside;
mod planted;
mod presence;
mod random;
mod renewals;
mod rights;
mod schema;
mod silence;
mod stragglers;
mod together;
mod transactions;
mod truth;
mod two_daemons;
mod verdicts;

use database::Database;
use std::sync::Arc;
use tidegate_io_conformance::World;
use tidegate_io_postgres::PgStore;

/// A store on a database of its own.
struct Fresh {
    store: Arc<PgStore>,
    database: Arc<Database>,
}

impl World for Fresh {
    type Store = PgStore;

    fn store(&self) -> Arc<PgStore> {
        Arc::clone(&self.store)
    }

    async fn close(self) {
        truth::check(&self.database).await;
        self.store.close().await;
        self.database.remove().await;
    }
}

async fn fresh() -> Fresh {
    let (database, store) = Database::with_store().await;
    Fresh { store: Arc::new(store), database: Arc::new(database) }
}

tidegate_io_conformance::conformance!(fresh().await);
