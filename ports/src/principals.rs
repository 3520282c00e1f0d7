use crate::PortError;
use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;
use tidegate_core::{AppName, Principal, PrincipalId, Role, Timestamp};

/// Who somebody is now. Asked at each execution, so that who is disabled or demoted runs nothing more.
#[async_trait]
pub trait PrincipalResolver: Send + Sync + 'static {
    /// The principal, unless it is missing or disabled.
    async fn resolve(&self, id: &PrincipalId) -> Result<Option<Principal>, PortError>;
}

/// Users and tokens that act for themselves, and their roles.
#[async_trait]
pub trait PrincipalStore: Send + Sync + 'static {
    /// All of them, by id.
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError>;

    /// One of them.
    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError>;

    /// Makes it, if there is none of this id; whether it did.
    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError>;

    /// Disables or enables it; whether there is one.
    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError>;

    /// Sets the hash of its password; whether there is one.
    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError>;

    /// The hash of its password, if it has one.
    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError>;

    /// Deletes it with its tokens and roles; whether there was one.
    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError>;

    /// Gives it a role of the app instead of the one that it had, or takes that away; whether there is such a principal.
    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError>;
}

/// Tokens. Of each only the digest is kept.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// All of them, by name.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError>;

    /// Makes a token, if there is none of this name; whether it did.
    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError>;

    /// Deletes a token, and its principal too if that is the token itself; whether there was one.
    async fn delete_token(&self, name: &str) -> Result<bool, PortError>;

    /// Who bears the token with this digest, unless it has expired or they are disabled.
    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError>;
}

/// Who bears which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The token's name.
    pub token: String,
    /// Who bears it.
    pub principal: PrincipalId,
}

/// A principal to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPrincipal {
    /// `user:…` or `token:…`.
    pub id: PrincipalId,
    /// May do everything.
    pub admin: bool,
    /// The hash of its password.
    pub password_hash: Option<String>,
}

/// A principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrincipalRecord {
    /// `user:…` or `token:…`.
    pub id: PrincipalId,
    /// May do everything.
    pub admin: bool,
    /// May do nothing for now.
    pub disabled: bool,
    /// What it is to which app.
    pub roles: BTreeMap<AppName, Role>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Unique.
    pub name: String,
    /// Who bears it.
    pub principal: PrincipalId,
    /// SHA-256 of its text.
    pub digest: [u8; 32],
    /// When it is no longer valid, from the store's now.
    pub valid_for: Option<tidegate_core::Micros>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// Unique.
    pub name: String,
    /// Who bears it.
    pub principal: PrincipalId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is no longer valid.
    pub expires_at: Option<Timestamp>,
}

impl PrincipalRecord {
    /// The same as what permissions are decided by, unless it is disabled.
    #[must_use]
    pub fn active(self) -> Option<Principal> {
        let Self { id, admin, disabled, roles, .. } = self;
        (!disabled).then_some(Principal { id, admin, roles })
    }
}
