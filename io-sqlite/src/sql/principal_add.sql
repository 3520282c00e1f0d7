-- Adds a principal, unless the id exists. ?4 is the time. The Postgres file reads the time from its
-- own clock.
insert into principals (id, admin, password_hash, created_at, monitor) values (?1, ?2, ?3, ?4, ?5)
on conflict (id) do nothing
