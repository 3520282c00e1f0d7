-- Sets a value.
insert into kv (app, collection, key, value, version, updated_at) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (app, collection, key) do update set
    value = excluded.value, version = excluded.version, updated_at = excluded.updated_at
