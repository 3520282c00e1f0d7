//! The part that `dev` and `serve` share: from settings to a daemon that runs until a signal stops it.

use super::error::CliError;
use super::output::note;
use crate::NativeHandlers;
use crate::config::Settings;
use crate::server::{self, AdminToken, HttpLimits, LogStyle, ServerConfig, StoreUrl};
use crate::token::{self, TokenFile};
use std::net::SocketAddr;
use std::path::Path;
use tidegate_core::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A daemon that is about to run.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) settings: Settings,
    pub(crate) store: StoreUrl,
    pub(crate) token: String,
    pub(crate) log: LogStyle,
    pub(crate) native: NativeHandlers,
}

impl Daemon {
    /// Runs until the first SIGINT or SIGTERM and then until what runs has ended, or until the second one.
    /// `on_listening` is told the bound address; the store may not be open yet.
    pub(crate) fn run(self, on_listening: impl FnOnce(SocketAddr) + Send) -> Result<(), CliError> {
        server::init_logs(self.log, &self.settings.log.level).map_err(CliError::usage)?;
        let http = HttpLimits {
            body_bytes_max: self.settings.http.body_bytes_max,
            data_bytes_max: self.settings.scripts.data_bytes_max,
        };
        let config = ServerConfig {
            listen: self.settings.http.listen,
            store: self.store,
            admin_token: AdminToken::new(&self.token),
            dispatcher: Config::try_from(self.settings.engine).map_err(CliError::usage)?,
            scripts: self.settings.scripts,
            http,
            native: self.native,
            log: self.log,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::failed)?;
        let result = runtime.block_on(async {
            let (mut first, mut second) = (Stop::new()?, Stop::new()?);
            tokio::select! {
                biased;
                () = async { second.asked().await; second.asked().await } => {
                    Err(CliError::Interrupted)
                }
                result = server::serve(config, on_listening, first.asked()) => result.map_err(CliError::failed),
            }
        });
        runtime.shutdown_background();
        result
    }
}

/// The signals that ask a daemon to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let of = |kind| signal(kind).map_err(CliError::failed);
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The token in the file at `path`, which is made if there is none. What was done to the file is said.
pub(crate) fn open_token(path: &Path) -> Result<String, CliError> {
    let (token, done) = token::open_or_create(path)
        .map_err(|error| CliError::failed(format!("cannot use the token file {}: {error}", path.display())))?;
    match done {
        TokenFile::Kept => {}
        TokenFile::Created => note(&format!("made an admin token in {}", path.display())),
        TokenFile::Closed => {
            note(&format!(
                "others could read {}; now only you can. Was it seen? Delete it to get a new one",
                path.display()
            ));
        }
    }
    Ok(token)
}
