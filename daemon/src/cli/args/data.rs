//! Commands about values, events, scripts and the gate.

use super::PageArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// Type of the event, such as order.created
    #[arg(value_name = "TYPE")]
    pub(crate) event_type: String,
    /// Subject of the event, such as orders/1
    #[arg(long, default_value = "")]
    pub(crate) subject: String,
    /// Data of the event: JSON, @FILE, or - for standard input
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    pub(crate) data: String,
    /// Emit the event only once, if the call is repeated with this key within a day
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// Name of the script
    pub(crate) script: String,
    /// Data of the event that the script gets: JSON, @FILE, or - for standard input
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    pub(crate) data: String,
    /// Timeout of the execution in milliseconds [default: 30000]
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// Run the script only once, if the call is repeated with this key within a day
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// Run at most COUNT executions at once, until the daemon stops
    #[arg(long, value_name = "COUNT")]
    pub(crate) permits: Option<u32>,
    /// Reserve COUNT of the permits for sync calls, until the daemon stops
    #[arg(long, value_name = "COUNT")]
    pub(crate) sync_reserve: Option<u32>,
    /// Reserve COUNT of the permits for deliveries, until the daemon stops
    #[arg(long, value_name = "COUNT")]
    pub(crate) async_reserve: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print the value of a key
    Get {
        /// Collection and key, such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
    },
    /// Set the value of a key
    Put {
        /// Collection and key, such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
        /// JSON, @FILE, or - for standard input
        #[arg(default_value = "-", value_name = "JSON|@FILE|-")]
        value: String,
        /// Set the value only if it has this version; 0: only if there is no value
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Delete the value of a key
    Delete {
        /// Collection and key, such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
        /// Delete the value only if it has this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// List the values of a collection
    List {
        /// A collection, or COLLECTION/PREFIX for the keys that begin with PREFIX
        #[arg(value_name = "COLLECTION")]
        path: String,
        #[command(flatten)]
        page: PageArgs,
    },
}
