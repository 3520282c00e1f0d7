//! What requests are answered with.

use crate::NativeHandlers;
use crate::services::Services;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tidegate_exec_script::Limits;
use tokio::sync::watch;

/// What every request handler gets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The services, once the store is there.
    pub readiness: watch::Receiver<Readiness>,
    /// Who may ask.
    pub admin_token: AdminToken,
    /// How large requests may be.
    pub limits: HttpLimits,
    /// What deployed scripts are checked with.
    pub scripts: Limits,
    /// Which native handlers triggers may name.
    pub native: NativeHandlers,
}

/// Whether requests can be answered.
#[derive(Clone, Debug)]
pub enum Readiness {
    /// The store is not there yet, or not any more: why.
    Unavailable(String),
    /// They can.
    Ready(Arc<Services>),
    /// The daemon ends.
    ShuttingDown,
}

/// How large requests may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// A request body.
    pub body_bytes_max: usize,
    /// An event's data, and a KV value.
    pub data_bytes_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { body_bytes_max: 1 << 20, data_bytes_max: 256 << 10 }
    }
}

/// The admin's bearer token. Only its digest is kept.
#[derive(Clone)]
pub struct AdminToken(Arc<[u8; 32]>);

impl AdminToken {
    /// Of the token's text.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Arc::new(Sha256::digest(token).into()))
    }

    /// Whether `token` is the one. It takes the same time whatever the answer.
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
