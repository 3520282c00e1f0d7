-- Who bears a token that is valid at ?2.
select t.name, p.id from tokens t join principals p on p.id = t.principal
where t.digest = ?1 and (t.expires_at is null or t.expires_at > ?2) and not p.disabled
