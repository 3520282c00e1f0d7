-- Writes a script. An equal source changes no row and keeps its version.
insert into tidegate.scripts as s (app, name, version, source, updated_at)
values ($1, $2, nextval('tidegate.versions'), $3, clock_timestamp())
on conflict (app, name) do update set
    version = excluded.version, source = excluded.source, updated_at = excluded.updated_at
where s.source <> excluded.source
