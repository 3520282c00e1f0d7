select id, admin, disabled, created_at,
    (select json_group_object(app, role) from grants g where g.principal = p.id) as roles
from principals p
where ?1 is null or id = ?1
order by id
