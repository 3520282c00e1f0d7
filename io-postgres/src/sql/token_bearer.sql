-- Reads the token with the digest $1 and its principal, if both are valid now.
select t.name, p.id from tidegate.tokens t join tidegate.principals p on p.id = t.principal
where t.digest = $1 and (t.expires_at is null or t.expires_at > clock_timestamp()) and not p.disabled
