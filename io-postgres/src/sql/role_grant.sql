-- Gives a principal a role in an app. An unknown principal gets none.
insert into tidegate.grants (principal, app, role) select id, $2, $3 from tidegate.principals where id = $1
on conflict (principal, app) do update set role = excluded.role
