//! Principals, their roles and their tokens.

use crate::error::{OrFailed, port};
use crate::time::{PgTime, micros};
use crate::{PgStore, rows, sql};
use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use tidegate_core::{AppName, PrincipalId, Role};
use tidegate_ports::{
    Bearer, NewPrincipal, NewToken, PortError, PrincipalRecord, PrincipalStore, TokenRecord, TokenStore,
};

impl PgStore {
    async fn principals(&self, id: Option<&PrincipalId>) -> Result<Vec<PrincipalRecord>, PortError> {
        self.pool
            .read(async {
                let query = sqlx::query(sql::principal_list).bind(id.map(PrincipalId::as_str));
                let found = query.fetch_all(&mut *self.connection().await?).await.or_failed()?;
                found.iter().map(record).collect::<Result<_, _>>().map_err(port)
            })
            .await
    }

    /// Runs a statement, and returns whether it changed a row.
    async fn changes(&self, query: Query<'_, sqlx::Postgres, PgArguments>) -> Result<bool, PortError> {
        self.pool
            .write(async { Ok(query.execute(&mut *self.connection().await?).await.or_failed()?.rows_affected() > 0) })
            .await
    }
}

#[async_trait]
impl PrincipalStore for PgStore {
    async fn list(&self) -> Result<Vec<PrincipalRecord>, PortError> {
        self.principals(None).await
    }

    async fn get(&self, id: &PrincipalId) -> Result<Option<PrincipalRecord>, PortError> {
        Ok(self.principals(Some(id)).await?.pop())
    }

    async fn add(&self, new: &NewPrincipal) -> Result<bool, PortError> {
        let query = sqlx::query(sql::principal_add).bind(new.id.as_str()).bind(new.admin);
        self.changes(query.bind(new.password_hash.as_deref()).bind(new.monitor)).await
    }

    async fn set_disabled(&self, id: &PrincipalId, disabled: bool) -> Result<bool, PortError> {
        self.changes(sqlx::query(sql::principal_disable).bind(id.as_str()).bind(disabled)).await
    }

    async fn set_password(&self, id: &PrincipalId, hash: &str) -> Result<bool, PortError> {
        self.changes(sqlx::query(sql::principal_password).bind(id.as_str()).bind(hash)).await
    }

    async fn password_hash(&self, id: &PrincipalId) -> Result<Option<String>, PortError> {
        self.pool
            .read(async {
                let query = sqlx::query_scalar::<_, Option<String>>(sql::principal_hash).bind(id.as_str());
                Ok(query.fetch_optional(&mut *self.connection().await?).await.or_failed()?.flatten())
            })
            .await
    }

    async fn delete(&self, id: &PrincipalId) -> Result<bool, PortError> {
        self.changes(sqlx::query(sql::principal_delete).bind(id.as_str())).await
    }

    async fn set_role(&self, id: &PrincipalId, app: &AppName, role: Option<Role>) -> Result<bool, PortError> {
        self.pool
            .write(async {
                let query = match role {
                    Some(role) => sqlx::query(sql::role_grant).bind(id.as_str()).bind(app.as_str()).bind(role.as_str()),
                    None => sqlx::query(sql::role_revoke).bind(id.as_str()).bind(app.as_str()),
                };
                self.changes(query).await?;
                let exists = sqlx::query_scalar(sql::principal_exists).bind(id.as_str());
                exists.fetch_one(&mut *self.connection().await?).await.or_failed()
            })
            .await
    }
}

#[async_trait]
impl TokenStore for PgStore {
    async fn tokens(&self) -> Result<Vec<TokenRecord>, PortError> {
        self.pool
            .read(async {
                let found = sqlx::query(sql::token_list).fetch_all(&mut *self.connection().await?).await.or_failed()?;
                found.iter().map(token).collect::<Result<_, _>>().map_err(port)
            })
            .await
    }

    async fn add_token(&self, new: &NewToken) -> Result<bool, PortError> {
        let valid_for = new.valid_for.map(micros);
        let query = sqlx::query(sql::token_add).bind(&new.name).bind(new.principal.as_str());
        self.changes(query.bind(&new.digest[..]).bind(valid_for)).await
    }

    async fn delete_token(&self, name: &str) -> Result<bool, PortError> {
        self.pool
            .write(async {
                let query = sqlx::query_scalar(sql::token_delete).bind(name);
                query.fetch_one(&mut *self.connection().await?).await.or_failed()
            })
            .await
    }

    async fn bearer(&self, digest: &[u8; 32]) -> Result<Option<Bearer>, PortError> {
        self.pool
            .read(async {
                let mut connection = self.connection().await?;
                let found = sqlx::query(sql::token_bearer).bind(&digest[..]).fetch_optional(&mut *connection).await;
                let found = connection.finish(found).or_failed()?;
                let bearer =
                    |row| Ok(Bearer { token: Row::try_get(&row, "name")?, principal: rows::name(&row, "id")? });
                found.map(bearer).transpose().map_err(port)
            })
            .await
    }
}

fn record(row: &PgRow) -> Result<PrincipalRecord, sqlx::Error> {
    Ok(PrincipalRecord {
        id: rows::name(row, "id")?,
        admin: row.try_get("admin")?,
        monitor: row.try_get("monitor")?,
        disabled: row.try_get("disabled")?,
        roles: rows::json(row, "roles")?,
        created_at: rows::time(row, "created_at")?,
    })
}

fn token(row: &PgRow) -> Result<TokenRecord, sqlx::Error> {
    Ok(TokenRecord {
        name: row.try_get("name")?,
        principal: rows::name(row, "principal")?,
        created_at: rows::time(row, "created_at")?,
        expires_at: row.try_get::<Option<PgTime>, _>("expires_at")?.map(|time| time.0),
    })
}
