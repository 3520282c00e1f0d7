use super::log::LogStyle;
use super::store_url::StoreUrl;
use crate::NativeHandlers;
use crate::http::{AdminToken, ConnectionLimits, HttpLimits};
use crate::services::Retention;
use std::net::SocketAddr;
use tidegate_core::Config;
use tidegate_exec_script::Limits;
use tidegate_io_postgres::PgOptions;

/// The configuration of a daemon.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address to listen on. Port 0 takes a free port.
    pub listen: SocketAddr,
    pub store: StoreUrl,
    /// The connections to a store on Postgres.
    pub postgres: PgOptions,
    /// Whether the daemon applies missing migrations. Otherwise it waits until they are applied.
    pub migrates: bool,
    pub admin_token: AdminToken,
    /// The configuration of the core.
    pub dispatcher: Config,
    /// The limits of script executions.
    pub scripts: Limits,
    /// The limits of request bodies and of values.
    pub http: HttpLimits,
    /// The number of connections and their timeouts.
    pub connections: ConnectionLimits,
    /// How long records are kept.
    pub retention: Retention,
    /// The handlers of the embedding program.
    pub native: NativeHandlers,
    /// The form in which deliveries and warnings are logged.
    pub log: LogStyle,
}
