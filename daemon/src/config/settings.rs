use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tidegate_core::ConfigSpec;
use tidegate_exec_script::Limits;

/// All settings of a daemon, each concern in a struct of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[http]`
    pub http: HttpSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[gate]` and `[dispatcher]`: what the core decides by, with its defaults and bounds.
    pub engine: ConfigSpec,
    /// `[scripts]`: what one execution of a script may use. `threads_max` is the gate's permits unless it is set.
    pub scripts: Limits,
    /// `[log]`
    pub log: LogSettings,
    /// `[auth]`
    pub auth: AuthSettings,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens. Default `127.0.0.1:8787`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The longest request body: 1 KiB – 64 MiB. Default 4 MiB, because all scripts of an app are deployed in one.
    pub body_bytes_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8787).into(), body_bytes_max: 4 << 20 }
    }
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`. Without one, an SQLite file that the command chooses.
    pub url: Option<String>,
}

/// What is written to standard error while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tidegate=debug`. Default `info`.
    pub level: String,
    /// `human` or `json`. Default `human`.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Human }
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Human,
    /// One JSON object each.
    Json,
}

/// Who may use the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// The file that holds the admin's token. Default `token` beside an SQLite file; made if there is none.
    pub admin_token_file: Option<PathBuf>,
}
