-- Lists all principals by id, or only the principal ?1, with their roles as a JSON object.
-- `json_group_object` returns `{}` without rows; the function on Postgres returns null there.
select id, admin, monitor, disabled, created_at,
    (select json_group_object(app, role) from grants g where g.principal = p.id) as roles
from principals p
where ?1 is null or id = ?1
order by id
