-- Deletes the token ?1. If the principal `token:NAME` exists for it alone, the program deletes it
-- with `principal_delete.sql`; on Postgres this statement does both.
delete from tokens where name = ?1
