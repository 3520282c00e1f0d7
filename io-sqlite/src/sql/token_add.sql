-- Adds a token, unless the name exists. ?4 is the time and ?5 the expiry time or null. The Postgres
-- file computes both from its own clock.
insert into tokens (name, principal, digest, created_at, expires_at) values (?1, ?2, ?3, ?4, ?5)
on conflict (name) do nothing
