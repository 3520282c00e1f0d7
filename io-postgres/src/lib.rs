//! The Tidegate store on Postgres, in the schema `tidegate`.
//!
//! The server is authoritative for all rows, and its clock measures all leases and due times. Any
//! number of daemons may use one database. Changes that belong together are made by one SQL
//! function. So an exchange is one round trip and one commit, and any client can emit events in its
//! own transaction.
//!
//! If a call fails, its error says whether it may have been applied. If a notification is lost, the
//! next poll finds the rows.

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
mod migrate;
mod mutations;
mod notify;
mod pool;
mod presence;
mod principals;
mod queues;
mod retention;
mod rows;
mod scripts;
mod session;
mod settlements;
mod sql;
mod store;
mod time;
mod triggers;

pub use store::{PgError, PgOptions, PgStore};
