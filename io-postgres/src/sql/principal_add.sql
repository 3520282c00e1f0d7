-- Adds a principal. Inserts no row if the principal exists.
insert into tidegate.principals (id, admin, password_hash, monitor, created_at)
values ($1, $2, $3, $4, clock_timestamp())
on conflict (id) do nothing
