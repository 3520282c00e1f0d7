-- Lists all tokens by name.
select name, principal, created_at, expires_at from tokens order by name
