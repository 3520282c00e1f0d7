-- Grants a role in an app to a principal. Inserts no row if the principal does not exist.
insert into tidegate.grants (principal, app, role) select id, $2, $3 from tidegate.principals where id = $1
on conflict (principal, app) do update set role = excluded.role
