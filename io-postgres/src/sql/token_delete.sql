-- Deletes a token. If the token is its own principal, the principal is deleted too.
with deleted as (delete from tidegate.tokens where name = $1 returning principal),
    own_principal as (
        delete from tidegate.principals p using deleted where p.id = deleted.principal and p.id = 'token:' || $1)
select count(*) > 0 from deleted
