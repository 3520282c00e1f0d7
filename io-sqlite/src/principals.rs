//! Principals, roles and tokens.

use crate::query::Query;
use crate::writer::Tx;
use crate::{SqliteStore, rows, sql};
use async_trait::async_trait;
use rusqlite::{Row, params};
use tidegate_core::{AppName, PrincipalId, Role};
use tidegate_ports::{
    Bearer, NewPrincipal, NewToken, PortError, PrincipalRecord, PrincipalStore, TokenRecord, TokenStore,
};

impl SqliteStore {
    async fn principals(&self, id: Option<PrincipalId>) -> Result<Vec<PrincipalRecord>, PortError> {
        self.readers
            .read(move |connection| connection.all(sql::principal_list, [id.as_ref().map(PrincipalId::as_str)], record))
            .await
    }
}

#[async_trait]
impl PrincipalStore for SqliteStore {
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError> {
        self.principals(None).await
    }

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError> {
        Ok(self.principals(Some(id.clone())).await?.pop())
    }

    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError> {
        let NewPrincipal { id, admin, monitor, password_hash } = new.clone();
        self.writer
            .write(move |tx| {
                let params = params![id.as_str(), admin, password_hash, tx.now.0, monitor];
                Ok(tx.connection.run(sql::principal_add, params)? > 0)
            })
            .await
    }

    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError> {
        let id = id.clone();
        self.writer
            .write(move |tx| Ok(tx.connection.run(sql::principal_disable, params![id.as_str(), disabled])? > 0))
            .await
    }

    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError> {
        let (id, hash) = (id.clone(), hash.to_owned());
        self.writer
            .write(move |tx| {
                tx.connection.run(sql::sessions_delete, [id.as_str()])?;
                Ok(tx.connection.run(sql::principal_password, [id.as_str(), &hash])? > 0)
            })
            .await
    }

    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError> {
        let id = id.clone();
        let read = move |connection: &rusqlite::Connection| {
            connection.maybe(sql::principal_hash, [id.as_str()], |row| row.get::<_, Option<String>>(0))
        };
        Ok(self.readers.read(read).await?.flatten())
    }

    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError> {
        let id = id.clone();
        self.writer.write(move |tx| tx.delete_principal(id.as_str())).await
    }

    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError> {
        let (id, app) = (id.clone(), app.clone());
        self.writer
            .write(move |tx| {
                match role {
                    Some(role) => tx.connection.run(sql::role_grant, [id.as_str(), app.as_str(), role.as_str()])?,
                    None => tx.connection.run(sql::role_revoke, [id.as_str(), app.as_str()])?,
                };
                tx.connection.one(sql::principal_exists, [id.as_str()], |row| row.get(0))
            })
            .await
    }
}

impl Tx<'_> {
    fn delete_principal(&self, id: &str) -> Result<bool, PortError> {
        Ok(self.connection.run(sql::principal_delete, [id])? > 0)
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError> {
        self.readers.read(|connection| connection.all(sql::token_list, (), token)).await
    }

    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError> {
        let NewToken { name, principal, digest, valid_for } = new.clone();
        self.writer
            .write(move |tx| {
                let expires_at = valid_for.map(|valid_for| tx.now.plus(valid_for).0);
                let params = params![name, principal.as_str(), digest, tx.now.0, expires_at];
                Ok(tx.connection.run(sql::token_add, params)? > 0)
            })
            .await
    }

    async fn delete_token(&self, name: &str) -> Result<bool, PortError> {
        let name = name.to_owned();
        self.writer
            .write(move |tx| {
                let existed = tx.connection.run(sql::token_delete, [&name])? > 0;
                if existed {
                    tx.delete_principal(&format!("token:{name}"))?;
                }
                Ok(existed)
            })
            .await
    }

    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError> {
        let (digest, now) = (*digest, self.writer.now());
        self.readers
            .read(move |connection| {
                connection.maybe(sql::token_bearer, params![digest, now.0], |row| {
                    Ok(Bearer { token: row.get("name")?, principal: rows::name(row, "id")? })
                })
            })
            .await
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<PrincipalRecord> {
    Ok(PrincipalRecord {
        id: rows::name(row, "id")?,
        admin: row.get("admin")?,
        monitor: row.get("monitor")?,
        disabled: row.get("disabled")?,
        roles: rows::json(row, "roles")?,
        created_at: rows::time(row, "created_at")?,
    })
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        name: row.get("name")?,
        principal: rows::name(row, "principal")?,
        created_at: rows::time(row, "created_at")?,
        expires_at: rows::maybe_time(row, "expires_at")?,
    })
}
