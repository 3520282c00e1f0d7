-- Adds a token. Inserts no row if a token has this name. $4 is the validity in microseconds, or
-- null.
insert into tidegate.tokens (name, principal, digest, created_at, expires_at)
values ($1, $2, $3, clock_timestamp(), clock_timestamp() + $4 * interval '1 microsecond')
on conflict (name) do nothing
