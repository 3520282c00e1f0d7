-- Deletes the token ?1. If the token is its own principal `token:NAME`, the program deletes it with
-- `principal_delete.sql`; on Postgres this statement does both.
delete from tokens where name = ?1
