//! The ports for principals and their tokens.

use super::SharedMemory;
use async_trait::async_trait;
use tidegate_core::{AppName, PrincipalId, Role};
use tidegate_ports::{
    Bearer, NewPrincipal, NewToken, PortError, PrincipalRecord, PrincipalStore, TokenRecord, TokenStore,
};

#[async_trait]
impl PrincipalStore for SharedMemory {
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError> {
        Ok(self.transaction().list_principals())
    }

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError> {
        Ok(self.transaction().principals.get(id).map(|account| account.record.clone()))
    }

    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError> {
        Ok(self.transaction().add_principal(new))
    }

    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError> {
        Ok(self.transaction().set_disabled(id, disabled))
    }

    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError> {
        Ok(self.transaction().set_password(id, hash))
    }

    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError> {
        Ok(self.transaction().principals.get(id).and_then(|account| account.hash.clone()))
    }

    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError> {
        Ok(self.transaction().delete_principal(id))
    }

    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError> {
        Ok(self.transaction().set_role(id, app, role))
    }
}

#[async_trait]
impl TokenStore for SharedMemory {
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError> {
        Ok(self.transaction().list_tokens())
    }

    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError> {
        Ok(self.transaction().add_token(new))
    }

    async fn delete_token(&self, name: &str) -> Result<bool, PortError> {
        Ok(self.transaction().delete_token(name))
    }

    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError> {
        Ok(self.transaction().bearer(digest))
    }
}
