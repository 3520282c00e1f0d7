//! Commands that run a daemon, or that look at a store without one.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The directory with tidegate.toml and the scripts
    pub(crate) directory: PathBuf,
    /// Address to listen on; port 0 takes a free port [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// sqlite:PATH or postgres://… [env: DATABASE_URL] [default: DIRECTORY/.tidegate/tidegate.db]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Set any setting, such as --set gate.permits=8
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 takes a free port [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// File with the admin token; created if missing [default: `token` beside an SQLite file]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Wait for missing migrations instead of applying them
    #[arg(long)]
    pub(crate) no_migrate: bool,
    /// Level of the log: error, warn, info, debug, trace, or a filter such as info,tidegate=debug
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Format of the log lines: human or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StoreArgs {
    /// TOML file with settings [env: TIDEGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [env: DATABASE_URL] [default: .tidegate/tidegate.db]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Set any setting, such as --set gate.permits=8
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print the SQL of the missing migrations and change nothing; only for Postgres
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// App directory with an embedded store to check
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
