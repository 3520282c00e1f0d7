-- Grants the principal ?1 the role ?3 in the app ?2, if the principal exists.
insert into grants (principal, app, role) select id, ?2, ?3 from principals where id = ?1
on conflict (principal, app) do update set role = excluded.role
