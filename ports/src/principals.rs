use crate::PortError;
use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_core::{AppName, Principal, PrincipalId, Role, Timestamp};

/// Looks up principals for executions. Each execution makes a new lookup, so that a disabled
/// principal or a revoked role has an effect at once.
#[async_trait]
pub trait PrincipalResolver: Send + Sync + 'static {
    /// The principal with its current roles. `None` if it does not exist or is disabled.
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError>;
}

/// Manages principals and their roles. A principal is a user, or a token that acts for itself.
#[async_trait]
pub trait PrincipalStore: Send + Sync + 'static {
    /// All principals, ordered by id.
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError>;

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError>;

    /// Creates the principal. Returns `false` and changes nothing if the id exists.
    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError>;

    /// Disables or enables the principal. Returns whether it exists.
    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError>;

    /// Sets the hash of the password and deletes the sessions of the principal. Returns whether the
    /// principal exists.
    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError>;

    /// The hash of the password. `None` if the principal has no password.
    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError>;

    /// Deletes the principal with its tokens and roles. Returns whether it existed.
    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError>;

    /// Replaces the role of the principal in the app. `None` revokes the role. Returns whether the
    /// principal exists.
    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError>;
}

/// The beginning of the name of each token that a login creates, and of no other token.
pub const SESSION_PREFIX: &str = "session.";

/// Manages access tokens. The store keeps the digest of a token and never its text.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// All tokens, ordered by name.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError>;

    /// Creates the token. Returns `false` and changes nothing if the name exists.
    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError>;

    /// Deletes the token. Deletes its principal too if the token acts for itself. Returns whether
    /// the token existed.
    async fn delete_token(&self, name: &str) -> Result<bool, PortError>;

    /// The token with this digest and its principal. `None` if the token is unknown or expired, or
    /// the principal is disabled.
    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError>;
}

/// A valid token and the principal that acts with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The name of the token.
    pub token: String,
    /// The principal that acts with the token.
    pub principal: PrincipalId,
}

/// A principal to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPrincipal {
    /// Begins with `user:` or `token:`.
    pub id: PrincipalId,
    /// An admin may do everything.
    pub admin: bool,
    /// The principal may read the metrics.
    pub monitor: bool,
    pub password_hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrincipalRecord {
    /// Begins with `user:` or `token:`.
    pub id: PrincipalId,
    /// An admin may do everything.
    pub admin: bool,
    /// The principal may read the metrics.
    pub monitor: bool,
    /// A disabled principal may do nothing.
    pub disabled: bool,
    pub roles: BTreeMap<AppName, Role>,
    pub created_at: Timestamp,
}

/// A token to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    pub name: String,
    /// The principal that acts with the token.
    pub principal: PrincipalId,
    /// The SHA-256 digest of the token's text.
    pub digest: [u8; 32],
    /// How long the token is valid, counted from the store's time of creation. `None` means
    /// forever.
    pub valid_for: Option<tidegate_core::Micros>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    pub name: String,
    /// The principal that acts with the token.
    pub principal: PrincipalId,
    pub created_at: Timestamp,
    /// `None` if the token never expires.
    pub expires_at: Option<Timestamp>,
}

impl PrincipalRecord {
    /// The principal for decisions about permissions. `None` if it is disabled.
    #[must_use]
    pub fn active(self) -> Option<Principal> {
        let Self { id, admin, monitor, disabled, roles, .. } = self;
        (!disabled).then_some(Principal { id, admin, monitor, roles })
    }
}
