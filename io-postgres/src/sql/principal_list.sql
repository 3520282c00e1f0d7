-- Lists all principals with their roles, or only the principal $1.
select id, admin, monitor, disabled, created_at, (
    select coalesce(json_object_agg(g.app, g.role), '{}')::text
    from tidegate.grants g where g.principal = p.id) as roles
from tidegate.principals p
where $1::text is null or id = $1
order by id
