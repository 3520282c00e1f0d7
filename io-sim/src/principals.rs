//! The principals, with their roles and tokens.

use crate::memory::Memory;
use crate::rows::Account;
use std::collections::BTreeMap;
use tidegate_core::{AppName, PrincipalId, Role, Standing};
use tidegate_ports::{Bearer, NewPrincipal, NewToken, PrincipalRecord, SESSION_PREFIX, TokenRecord};

impl Memory {
    /// The standing of the principal that registered a trigger of `app`. The built-in principals
    /// `admin` and `system` are always allowed.
    pub(crate) fn standing(&self, id: &PrincipalId, app: &AppName) -> Standing {
        if matches!(id.as_str(), "admin" | "system") {
            return Standing::Allowed;
        }
        let record = self.principals.get(id).map(|account| account.record.clone());
        let disabled = record.as_ref().is_some_and(|record| record.disabled);
        let principal = record.and_then(|record| PrincipalRecord { disabled: false, ..record }.active());
        Standing::of(principal.as_ref(), disabled, app)
    }

    pub(crate) fn list_principals(&self) -> Vec<PrincipalRecord> {
        self.principals.values().map(|account| account.record.clone()).collect()
    }

    /// Adds a principal. Returns `false` if there is one with this id.
    pub fn add_principal(&mut self, new: &NewPrincipal) -> bool {
        if self.principals.contains_key(&new.id) {
            return false;
        }
        let record = PrincipalRecord {
            id: new.id.clone(),
            admin: new.admin,
            monitor: new.monitor,
            disabled: false,
            roles: BTreeMap::new(),
            created_at: self.now,
        };
        self.principals.insert(new.id.clone(), Account { record, hash: new.password_hash.clone() });
        true
    }

    /// Changes a principal. Returns `false` if there is none with this id.
    pub(crate) fn change_account(&mut self, id: &PrincipalId, change: impl FnOnce(&mut Account)) -> bool {
        self.principals.get_mut(id).map(change).is_some()
    }

    /// Disables or enables a principal. Returns `false` if there is none with this id.
    pub fn set_disabled(&mut self, id: &PrincipalId, disabled: bool) -> bool {
        self.change_account(id, |account| account.record.disabled = disabled)
    }

    /// Sets the hash of a password and ends the sessions of its principal.
    pub(crate) fn set_password(&mut self, id: &PrincipalId, hash: &str) -> bool {
        self.tokens.retain(|name, (token, _)| token.principal != *id || !name.starts_with(SESSION_PREFIX));
        self.change_account(id, |account| account.hash = Some(hash.to_owned()))
    }

    pub(crate) fn delete_principal(&mut self, id: &PrincipalId) -> bool {
        self.tokens.retain(|_, (token, _)| token.principal != *id);
        self.principals.remove(id).is_some()
    }

    /// Sets the role of a principal in an app, or removes it. Returns `false` if there is no such
    /// principal.
    pub fn set_role(&mut self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> bool {
        self.change_account(id, |account| match role {
            Some(role) => _ = account.record.roles.insert(app.clone(), role),
            None => _ = account.record.roles.remove(app),
        })
    }

    pub(crate) fn list_tokens(&self) -> Vec<TokenRecord> {
        self.tokens.values().map(|(token, _)| token.clone()).collect()
    }

    pub(crate) fn add_token(&mut self, new: &NewToken) -> bool {
        if self.tokens.contains_key(&new.name) {
            return false;
        }
        let record = TokenRecord {
            name: new.name.clone(),
            principal: new.principal.clone(),
            created_at: self.now,
            expires_at: new.valid_for.map(|valid_for| self.now.plus(valid_for)),
        };
        self.tokens.insert(new.name.clone(), (record, new.digest));
        true
    }

    pub(crate) fn delete_token(&mut self, name: &str) -> bool {
        let Some((token, _)) = self.tokens.remove(name) else { return false };
        if token.principal.as_str() == format!("token:{name}") {
            self.delete_principal(&token.principal);
        }
        true
    }

    pub(crate) fn bearer(&self, digest: &[u8; 32]) -> Option<Bearer> {
        let (token, _) = self.tokens.values().find(|(_, known)| known == digest)?;
        let valid = token.expires_at.is_none_or(|at| self.now < at);
        let account = self.principals.get(&token.principal)?;
        let bearer = Bearer { token: token.name.clone(), principal: token.principal.clone() };
        (valid && !account.record.disabled).then_some(bearer)
    }
}
