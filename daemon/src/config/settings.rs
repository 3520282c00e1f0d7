use crate::services::Retention;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tidegate_core::ConfigSpec;
use tidegate_exec_script::Limits;
use tidegate_io_postgres::PgOptions;

/// All settings of a daemon, in one struct for each concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub http: HttpSettings,
    pub store: StoreSettings,
    /// `[gate]` and `[dispatcher]`: the configuration of the core, with its defaults and bounds.
    pub engine: ConfigSpec,
    /// `[scripts]`: the limits of script executions.
    pub scripts: Limits,
    /// `[retention]`: how long records are kept.
    pub retention: Retention,
    pub log: LogSettings,
    pub auth: AuthSettings,
}

/// Section `[http]`: the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address to listen on. Default `127.0.0.1:8787`. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The longest request body, 1 KiB to 64 MiB. Default 4 MiB, because one request deploys all
    /// scripts of an app.
    pub body_bytes_max: usize,
    /// The longest time in which a client sends a body. Default 60 s.
    pub body_timeout_ms: u64,
    /// The most connections. Default 2,048, and at most the open files that the system allows.
    pub connections_max: usize,
    /// The most connections of one IPv4 address, or of one IPv6 /64 network. Default 1,024.
    pub connections_per_address_max: usize,
    /// The longest time in which a client sends the head of a request. Default 10 s.
    pub header_timeout_ms: u64,
    /// The longest time between two requests of a connection. Default 75 s.
    pub idle_timeout_ms: u64,
    /// The longest time in which a client reads nothing of its reply. Default 60 s.
    pub write_timeout_ms: u64,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8787).into(),
            body_bytes_max: 4 << 20,
            body_timeout_ms: 60_000,
            connections_max: 2_048,
            connections_per_address_max: 1_024,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: 60_000,
        }
    }
}

/// Section `[store]`: the place of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`. `None`: the command chooses an SQLite file.
    pub url: Option<String>,
    /// How long a call of Postgres may take before its connection is dropped, 500 to 60,000.
    /// Default 5,000, because a claim has a lease of 10 s.
    pub call_timeout_ms: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { url: None, call_timeout_ms: 5_000 }
    }
}

impl StoreSettings {
    /// The options of the connections to Postgres.
    #[must_use]
    pub fn postgres(&self) -> PgOptions {
        PgOptions { call_timeout: Duration::from_millis(self.call_timeout_ms.into()), ..PgOptions::default() }
    }
}

/// Section `[log]`: the lines that the daemon writes to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tidegate=debug`.
    /// Default `info`.
    pub level: String,
    /// `human` (the default) or `json`.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Human }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for each event.
    #[default]
    Human,
    /// One JSON object for each event.
    Json,
}

/// Section `[auth]`: access to the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// The file with the admin token, created if missing. Default: `token` beside an SQLite file.
    pub admin_token_file: Option<PathBuf>,
}
