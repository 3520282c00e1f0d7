//! The part that `dev` and `serve` share: from settings to a daemon that runs until a signal stops
//! it.

use super::error::CliError;
use super::output::note;
use crate::NativeHandlers;
use crate::config::Settings;
use crate::server::{self, AdminToken, ConnectionLimits, HttpLimits, LogStyle, ServerConfig, StoreUrl};
use crate::token::{self, TokenFile};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tidegate_core::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A daemon that is ready to start.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) settings: Settings,
    pub(crate) store: StoreUrl,
    pub(crate) migrates: bool,
    pub(crate) token: String,
    pub(crate) log: LogStyle,
    pub(crate) native: NativeHandlers,
}

impl Daemon {
    /// Runs until SIGINT or SIGTERM, and then until the running executions have ended. A second
    /// signal stops the daemon at once. `on_listening` gets the bound address, before the store is
    /// open.
    pub(crate) fn run(self, on_listening: impl FnOnce(SocketAddr) + Send) -> Result<(), CliError> {
        server::init_logs(self.log, &self.settings.log.level).map_err(CliError::usage)?;
        let (of_http, ms) = (&self.settings.http, Duration::from_millis);
        let http = HttpLimits {
            body_bytes_max: of_http.body_bytes_max,
            data_bytes_max: self.settings.scripts.data_bytes_max,
            body_timeout: ms(of_http.body_timeout_ms),
        };
        let connections = ConnectionLimits {
            connections_max: of_http.connections_max,
            connections_per_address_max: of_http.connections_per_address_max,
            header_timeout: ms(of_http.header_timeout_ms),
            idle_timeout: ms(of_http.idle_timeout_ms),
            write_timeout: ms(of_http.write_timeout_ms),
        };
        let config = ServerConfig {
            listen: self.settings.http.listen,
            store: self.store,
            postgres: self.settings.store.postgres(),
            migrates: self.migrates,
            admin_token: AdminToken::new(&self.token),
            dispatcher: Config::try_from(self.settings.engine).map_err(CliError::usage)?,
            scripts: self.settings.scripts,
            http,
            connections,
            retention: self.settings.retention,
            native: self.native,
            log: self.log,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::failed)?;
        let result = runtime.block_on(async {
            let (mut first, mut second) = (StopSignals::new()?, StopSignals::new()?);
            tokio::select! {
                biased;
                () = async { second.recv().await; second.recv().await } => {
                    Err(CliError::Interrupted)
                }
                result = server::serve(config, on_listening, first.recv()) => result.map_err(CliError::failed),
            }
        });
        runtime.shutdown_background();
        result
    }
}

/// The signals that stop a daemon.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, CliError> {
        let of = |kind| signal(kind).map_err(CliError::failed);
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The token in the file at `path`, which is created if missing. Prints a note if the file was
/// changed.
pub(crate) fn open_token(path: &Path) -> Result<String, CliError> {
    let (token, found) = token::open_or_create(path)
        .map_err(|error| CliError::failed(format!("cannot use the token file {}: {error}", path.display())))?;
    match found {
        TokenFile::Kept => {}
        TokenFile::Created => note(&format!("created an admin token in {}", path.display())),
        TokenFile::Closed => {
            note(&format!(
                "other users could read {}; now only you can. If the token may be known to others, delete the file to get a new one",
                path.display()
            ));
        }
    }
    Ok(token)
}
