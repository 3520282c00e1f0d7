//! Principals, their roles and their tokens.

use crate::error::port;
use crate::writer::{OrRefused, Tx};
use crate::{SqliteStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_core::{AppName, PrincipalId, Role, Timestamp};
use tidegate_driver::{
    Bearer, NewPrincipal, NewToken, PortError, PrincipalRecord, PrincipalStore, TokenRecord, TokenStore,
};

impl SqliteStore {
    async fn principals(&self, id: Option<&PrincipalId>) -> Result<Vec<PrincipalRecord>, PortError> {
        let query = sqlx::query(sql::principal_list).bind(id.map(PrincipalId::as_str));
        let found = query.fetch_all(&self.readers).await.or_refused()?;
        found.iter().map(record).collect::<Result<_, _>>().map_err(port)
    }
}

#[async_trait]
impl PrincipalStore for SqliteStore {
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError> {
        self.principals(None).await
    }

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError> {
        Ok(self.principals(Some(id)).await?.pop())
    }

    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError> {
        let NewPrincipal { id, admin, password_hash } = new.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let query = sqlx::query(sql::principal_add).bind(id.to_string()).bind(admin);
                    let query = query.bind(password_hash).bind(tx.now.0);
                    Ok(query.execute(&mut *tx.connection).await.or_refused()?.rows_affected() > 0)
                })
            })
            .await
    }

    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError> {
        let id = id.to_string();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let query = sqlx::query(sql::principal_disable).bind(id).bind(disabled);
                    Ok(query.execute(&mut *tx.connection).await.or_refused()?.rows_affected() > 0)
                })
            })
            .await
    }

    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError> {
        let (id, hash) = (id.to_string(), hash.to_owned());
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let query = sqlx::query(sql::principal_password).bind(id).bind(hash);
                    Ok(query.execute(&mut *tx.connection).await.or_refused()?.rows_affected() > 0)
                })
            })
            .await
    }

    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError> {
        let query = sqlx::query_scalar::<_, Option<String>>(sql::principal_hash).bind(id.as_str());
        Ok(query.fetch_optional(&self.readers).await.or_refused()?.flatten())
    }

    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError> {
        let id = id.clone();
        self.writer.write(move |mut tx| Box::pin(async move { tx.delete_principal(id.as_str()).await })).await
    }

    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError> {
        let (id, app) = (id.to_string(), app.to_string());
        self.writer.write(move |tx| Box::pin(set_role(tx, id, app, role))).await
    }
}

async fn set_role(tx: Tx<'_>, id: String, app: String, role: Option<Role>) -> Result<bool, PortError> {
    let query = match role {
        Some(role) => sqlx::query(sql::role_grant).bind(id.clone()).bind(app).bind(role.as_str()),
        None => sqlx::query(sql::role_revoke).bind(id.clone()).bind(app),
    };
    query.execute(&mut *tx.connection).await.or_refused()?;
    sqlx::query_scalar(sql::principal_exists).bind(id).fetch_one(&mut *tx.connection).await.or_refused()
}

impl Tx<'_> {
    async fn delete_principal(&mut self, id: &str) -> Result<bool, PortError> {
        let query = sqlx::query(sql::principal_delete).bind(id.to_owned());
        Ok(query.execute(&mut *self.connection).await.or_refused()?.rows_affected() > 0)
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError> {
        let found = sqlx::query(sql::token_list).fetch_all(&self.readers).await.or_refused()?;
        found.iter().map(token).collect::<Result<_, _>>().map_err(port)
    }

    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError> {
        let NewToken { name, principal, digest, valid_for } = new.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let query = sqlx::query(sql::token_add).bind(name).bind(principal.to_string());
                    let expires_at = valid_for.map(|valid_for| tx.now.plus(valid_for).0);
                    let query = query.bind(digest.to_vec()).bind(tx.now.0).bind(expires_at);
                    Ok(query.execute(&mut *tx.connection).await.or_refused()?.rows_affected() > 0)
                })
            })
            .await
    }

    async fn delete_token(&self, name: &str) -> Result<bool, PortError> {
        let name = name.to_owned();
        self.writer
            .write(move |mut tx| {
                Box::pin(async move {
                    let query = sqlx::query(sql::token_delete).bind(name.clone());
                    let was_there = query.execute(&mut *tx.connection).await.or_refused()?.rows_affected() > 0;
                    if was_there {
                        tx.delete_principal(&format!("token:{name}")).await?;
                    }
                    Ok(was_there)
                })
            })
            .await
    }

    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError> {
        let query = sqlx::query(sql::token_bearer).bind(digest.to_vec()).bind(self.writer.now().0);
        let found = query.fetch_optional(&self.readers).await.or_refused()?;
        let bearer = |row| Ok(Bearer { token: Row::try_get(&row, "name")?, principal: rows::name(&row, "id")? });
        found.map(bearer).transpose().map_err(port)
    }
}

fn record(row: &SqliteRow) -> Result<PrincipalRecord, sqlx::Error> {
    Ok(PrincipalRecord {
        id: rows::name(row, "id")?,
        admin: row.try_get("admin")?,
        disabled: row.try_get("disabled")?,
        roles: rows::json(row, "roles")?,
        created_at: rows::time(row, "created_at")?,
    })
}

fn token(row: &SqliteRow) -> Result<TokenRecord, sqlx::Error> {
    Ok(TokenRecord {
        name: row.try_get("name")?,
        principal: rows::name(row, "principal")?,
        created_at: rows::time(row, "created_at")?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp),
    })
}
