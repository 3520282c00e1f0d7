-- Sets the password hash of the principal ?1. `sessions_delete.sql` ends its sessions; on Postgres
-- this statement does both.
update principals set password_hash = ?2 where id = ?1
