-- Lists the tokens by name.
select name, principal, created_at, expires_at from tidegate.tokens order by name
