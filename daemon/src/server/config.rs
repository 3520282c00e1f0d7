use super::log::LogStyle;
use super::store_url::StoreUrl;
use crate::NativeHandlers;
use crate::http::{AdminToken, HttpLimits};
use std::net::SocketAddr;
use tidegate_core::Config;
use tidegate_exec_script::Limits;

/// All that a daemon is told.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The store.
    pub store: StoreUrl,
    /// Who may use the API.
    pub admin_token: AdminToken,
    /// What the dispatcher decides by.
    pub dispatcher: Config,
    /// What a script may use.
    pub scripts: Limits,
    /// How large requests may be.
    pub http: HttpLimits,
    /// The embedding program's handlers.
    pub native: NativeHandlers,
    /// How deliveries are told of.
    pub log: LogStyle,
}
