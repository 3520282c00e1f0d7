-- Values. Whoever changes one holds its lock, and whoever checks versions before applying effects holds the locks of
-- all keys that it read or writes, so that nothing changes between a check and its commit, not even an absent key.

-- The lock of a key: one of 4,096, so that a large batch cannot run the server out of locks. Taken in rising order.
create function tidegate.kv_stripe(p_app text, p_collection text, p_key text) returns integer
language sql immutable parallel safe
return hashtext(p_app || '/' || p_collection || '/' || p_key) & 4095;

-- 7231 is this program's number for these locks.
create function tidegate.kv_lock(p_stripe integer) returns void
language sql volatile as $$ select pg_advisory_xact_lock(7231, p_stripe) $$;

-- Sets a value, or deletes it where p_value is null, and emits its event. The caller holds the key's lock. Deleting
-- what is not there does nothing and answers a null version.
create function tidegate.kv_write(
    p_now timestamptz, p_app text, p_collection text, p_key text, p_value text, p_actor text, p_root_id uuid,
    p_parent_id uuid, p_depth integer, p_traceparent text,
    out version bigint, out event_id uuid, out woken bigint[]
)
language plpgsql as $$
begin
    if p_value is null then
        delete from tidegate.kv k where k.app = p_app and k.collection = p_collection and k.key = p_key;
        if not found then
            woken := '{}';
            return;
        end if;
        version := nextval('tidegate.versions');
    else
        version := nextval('tidegate.versions');
        insert into tidegate.kv as k (app, collection, key, value, version, updated_at)
        values (p_app, p_collection, p_key, p_value::json, kv_write.version, p_now)
        on conflict on constraint kv_pkey do update set
            value = excluded.value, version = excluded.version, updated_at = excluded.updated_at;
    end if;
    event_id := tidegate.uuid_v7(p_now);
    woken := tidegate.fan_out(
        p_now, p_app, 'kv', event_id, case when p_value is null then 'kv.delete' else 'kv.set' end,
        p_collection || '/' || p_key,
        -- The value's text as it is: json_build_object would keep it too, but not without parsing it again.
        ('{"collection":' || to_json(p_collection) || ',"key":' || to_json(p_key) || ',"value":'
            || coalesce(p_value, 'null') || ',"version":' || version || '}')::json,
        p_actor, coalesce(p_root_id, event_id), p_parent_id, p_depth, p_traceparent);
end
$$;

-- A caller's put or delete. p_guard is 'any', 'absent' or 'version'. The status is 'done', 'failed' (the guard does not
-- hold; current is what is there), 'absent' (there was nothing to delete) or 'unknown_app'.
create function tidegate.kv_mutate(
    p_app text, p_collection text, p_key text, p_value text, p_guard text, p_version bigint, p_actor text,
    p_root_id uuid, p_parent_id uuid, p_depth integer, p_traceparent text,
    out status text, out current bigint, out version bigint, out updated_at timestamptz, out event_id uuid,
    out woken bigint[]
)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
    if not exists (select from tidegate.apps a where a.name = p_app) then
        status := 'unknown_app';
        return;
    end if;
    -- Behind the lock the clock is read and all that was written before is seen, so times grow with versions.
    perform tidegate.kv_lock(tidegate.kv_stripe(p_app, p_collection, p_key));
    updated_at := clock_timestamp();
    select k.version into current from tidegate.kv k
    where k.app = p_app and k.collection = p_collection and k.key = p_key;
    if (p_guard = 'absent' and current is not null) or (p_guard = 'version' and current is distinct from p_version) then
        status := 'failed';
        return;
    end if;
    select w.version, w.event_id, w.woken into version, event_id, woken
    from tidegate.kv_write(
        updated_at, p_app, p_collection, p_key, p_value, p_actor, p_root_id, p_parent_id, p_depth, p_traceparent) w;
    status := case when version is null then 'absent' else 'done' end;
end
$$;
