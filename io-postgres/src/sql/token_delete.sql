-- A token that acts for itself takes its principal along.
with gone as (delete from tidegate.tokens where name = $1 returning principal),
    itself as (delete from tidegate.principals p using gone where p.id = gone.principal and p.id = 'token:' || $1)
select count(*) > 0 from gone
