//! Tidegate's store on Postgres, in a schema of its own.
//!
//! Who is authoritative: the server, for every row and for the only clock that leases and due times are measured by.
//! Any number of daemons may use one database. What must happen together happens in one server-side function, so a
//! dispatcher's exchange is one round trip and one commit, and any client can emit in its own transaction.

mod apps;
mod calls;
mod claimed_rows;
mod dead_letters;
mod deliveries;
mod dispatch;
mod emit;
mod error;
mod inline_claim;
mod kv;
mod ledgers;
mod listen;
mod mutations;
mod notify;
mod pool;
mod principals;
mod queues;
mod rows;
mod scripts;
mod settlements;
mod sql;
mod store;
mod time;
mod triggers;

pub use store::{PgError, PgOptions, PgStore};
