-- Sets the source and the version of a script. The program has compared the source before. The
-- Postgres file compares it in the statement, because other daemons may write at the same time.
insert into scripts (app, name, version, source, updated_at) values (?1, ?2, ?3, ?4, ?5)
on conflict (app, name) do update set
    version = excluded.version, source = excluded.source, updated_at = excluded.updated_at
