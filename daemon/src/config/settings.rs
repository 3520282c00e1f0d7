use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tidegate_core::ConfigSpec;

/// All settings of a daemon, each concern in a struct of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[http]`
    pub http: HttpSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[gate]` and `[dispatcher]`: what the core decides by, with its defaults and bounds.
    pub engine: ConfigSpec,
    /// `[scripts]`
    pub scripts: ScriptSettings,
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
    /// The longest request body: 1 KiB – 64 MiB. Default 1 MiB.
    pub body_bytes_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8787).into(), body_bytes_max: 1024 * 1024 }
    }
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`. Without one, an SQLite file that the command chooses.
    pub url: Option<String>,
}

/// What one execution of a script may use. The wall clock is its trigger's `timeout_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptSettings {
    /// Memory: 1 MiB – 4 GiB. Default 64 MiB.
    pub memory_bytes_max: usize,
    /// Stack: 64 KiB – 8 MiB. Default 512 KiB.
    pub stack_bytes_max: usize,
    /// Time on the processor: 1 ms – 1 h. Default 10 s.
    pub cpu_ms_max: u64,
    /// Threads that scripts run on: 1–1,024. Default one for each processor.
    pub threads: Option<usize>,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        Self { memory_bytes_max: 64 << 20, stack_bytes_max: 512 << 10, cpu_ms_max: 10_000, threads: None }
    }
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
