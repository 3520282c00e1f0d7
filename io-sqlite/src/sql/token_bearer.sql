-- Reads the token with the digest ?1 and its principal, if the token is valid at ?2 and the
-- principal is enabled. The Postgres file reads the time from its own clock.
select t.name, p.id from tokens t join principals p on p.id = t.principal
where t.digest = ?1 and (t.expires_at is null or t.expires_at > ?2) and not p.disabled
