-- The same source keeps its version, and then nothing is returned.
insert into tidegate.scripts as s (app, name, version, source, updated_at)
values ($1, $2, nextval('tidegate.versions'), $3, clock_timestamp())
on conflict (app, name) do update set
    version = excluded.version, source = excluded.source, updated_at = excluded.updated_at
where s.source <> excluded.source
