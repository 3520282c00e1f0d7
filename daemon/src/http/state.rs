//! The state that all request handlers share.

use super::login_limits::LoginLimits;
use super::password::Passwords;
use crate::NativeHandlers;
use crate::services::Services;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tidegate_exec_script::Limits;
use tokio::sync::watch;

/// The state of the API. Clones share it.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Has the services once the store is open.
    pub readiness: watch::Receiver<Readiness>,
    pub admin_token: AdminToken,
    pub limits: HttpLimits,
    /// The limits under which deployed scripts are checked.
    pub scripts: Limits,
    /// The native handlers that triggers may name.
    pub native: NativeHandlers,
    pub logins: Logins,
}

/// The threads that hash passwords and the counts of failed logins. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    pub(super) passwords: Passwords,
    pub(super) limits: Arc<LoginLimits>,
}

/// Whether the daemon can serve requests.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// The store is not open. The text is the reason.
    Unavailable(String),
    Ready(Arc<Services>),
    ShuttingDown,
}

/// The limits of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    pub body_bytes_max: usize,
    /// The most bytes of the data of an event, and of a KV value.
    pub data_bytes_max: usize,
    /// The longest time in which a client sends a body.
    pub body_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { body_bytes_max: 1 << 20, data_bytes_max: 256 << 10, body_timeout: Duration::from_secs(60) }
    }
}

/// The bearer token of the admin. Only its digest is kept.
#[derive(Clone)]
pub struct AdminToken(Arc<[u8; 32]>);

impl AdminToken {
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Arc::new(Sha256::digest(token).into()))
    }

    /// Whether `token` is the admin token. The comparison takes constant time.
    #[must_use]
    pub fn is(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&digest).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}
