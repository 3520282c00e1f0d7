-- Values. Whoever changes one holds its lock, and whoever checks versions before applying effects holds the locks of
-- all keys that it read or writes, so that nothing changes between a check and its commit, not even an absent key.

-- The lock of a key: one of 4,096, so that a large batch cannot run the server out of locks. Taken in rising order.
create function tidegate.kv_stripe(p_app text, p_collection text, p_key text) returns integer
language sql immutable parallel safe
return hashtext(p_app || '/' || p_collection || '/' || p_key) & 4095;

-- 7231 is this program's number for these locks.
create function tidegate.kv_lock(p_stripe integer) returns void
language sql volatile as $$ select pg_advisory_xact_lock(7231, p_stripe) $$;

-- A value to set, or to delete where it is null.
create type tidegate.kv_change as (
    app         text,
    collection  text,
    key         text,
    value       text,
    actor       text,
    root_id     uuid,
    parent_id   uuid,
    depth       integer,
    traceparent text
);

-- Sets and deletes values, each key at most once, and emits their events. The caller holds the keys' locks. Answers each
-- change's version and event, and which triggers got a row of which event: an object of arrays as text. Deleting what is
-- not there does nothing, and has neither version nor event.
create function tidegate.kv_write(
    p_now timestamptz, p_changes tidegate.kv_change[], out versions bigint[], out event_ids uuid[], out woken jsonb
)
language plpgsql as $$
begin
    select
        array_agg(case when d.is_there then nextval('tidegate.versions') end order by d.place),
        array_agg(case when d.is_there then tidegate.uuid_v7(p_now) end order by d.place)
    into versions, event_ids
    from (
        select
            c.place,
            c.value is not null or exists (
                select from tidegate.kv k
                where k.app = c.app and k.collection = c.collection and k.key = c.key offset 0) as is_there
        from unnest(p_changes) with ordinality c (
            app, collection, key, value, actor, root_id, parent_id, depth, traceparent, place)
        order by c.place offset 0
    ) d;
    delete from tidegate.kv k using unnest(p_changes) c
    where c.value is null and k.app = c.app and k.collection = c.collection and k.key = c.key;
    insert into tidegate.kv as k (app, collection, key, value, version, updated_at)
    select c.app, c.collection, c.key, c.value::json, versions[c.place], p_now
    from unnest(p_changes) with ordinality c (
        app, collection, key, value, actor, root_id, parent_id, depth, traceparent, place)
    where c.value is not null
    on conflict on constraint kv_pkey do update set
        value = excluded.value, version = excluded.version, updated_at = excluded.updated_at;
    select coalesce(jsonb_object_agg(f.event_id, f.woken), '{}') into woken
    from (
        select f.event_id, array_agg(f.trigger_id)::text as woken from tidegate.fan_out(p_now, 'kv', array(
            select row(
                c.app, event_ids[c.place], case when c.value is null then 'kv.delete' else 'kv.set' end,
                c.collection || '/' || c.key,
                -- The value's text as it is: json_build_object would keep it too, but not without parsing it again.
                ('{"collection":' || to_json(c.collection) || ',"key":' || to_json(c.key) || ',"value":'
                    || coalesce(c.value, 'null') || ',"version":' || versions[c.place] || '}')::json,
                c.actor, coalesce(c.root_id, event_ids[c.place]), c.parent_id, c.depth, c.traceparent
            )::tidegate.new_event
            from unnest(p_changes) with ordinality c (
                app, collection, key, value, actor, root_id, parent_id, depth, traceparent, place)
            where event_ids[c.place] is not null
            order by c.place)) f
        group by f.event_id
    ) f;
end
$$;

-- What callers put and delete, each key at most once. A guard is 'any', 'absent' or 'version'. The status of each, in
-- their order, is 'done', 'failed' (the guard does not hold; current is what is there), 'absent' (there was nothing to
-- delete) or 'unknown_app'; one that is not done leaves the others alone.
create function tidegate.kv_mutate(
    p_apps text[], p_collections text[], p_keys text[], p_values text[], p_guards text[], p_versions bigint[],
    p_actors text[], p_root_ids uuid[], p_parent_ids uuid[], p_depths integer[], p_traceparents text[]
) returns table (
    status text, current bigint, version bigint, updated_at timestamptz, event_id uuid, woken bigint[]
)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_stripe integer;
    v_statuses text[];
    v_current bigint[];
    v_changes tidegate.kv_change[];
    v_written record;
begin
    for v_stripe in
        select distinct tidegate.kv_stripe(c.app, c.collection, c.key) as stripe
        from unnest(p_apps, p_collections, p_keys) c (app, collection, key)
        order by stripe
    loop
        perform tidegate.kv_lock(v_stripe);
    end loop;
    -- Behind the locks the clock is read and all that was written before is seen, so times grow with versions.
    v_now := clock_timestamp();
    select
        array_agg(j.status order by j.place), array_agg(j.version order by j.place),
        coalesce(array_agg(
            row(
                p_apps[j.place], p_collections[j.place], p_keys[j.place], p_values[j.place], p_actors[j.place],
                p_root_ids[j.place], p_parent_ids[j.place], p_depths[j.place], p_traceparents[j.place]
            )::tidegate.kv_change order by j.place) filter (where j.status = 'done'), '{}')
    into v_statuses, v_current, v_changes
    from (
        select
            c.place, k.version,
            case
                when not exists (select from tidegate.apps a where a.name = c.app offset 0) then 'unknown_app'
                when c.guard = 'absent' and k.version is not null then 'failed'
                when c.guard = 'version' and k.version is distinct from c.version then 'failed'
                when c.value is null and k.version is null then 'absent'
                else 'done'
            end as status
        from unnest(p_apps, p_collections, p_keys, p_values, p_guards, p_versions) with ordinality c (
            app, collection, key, value, guard, version, place)
        left join lateral (
            select k.version from tidegate.kv k
            where k.app = c.app and k.collection = c.collection and k.key = c.key limit 1) k on true
    ) j;
    v_written := tidegate.kv_write(v_now, v_changes);
    return query
    select
        r.status, r.current, v_written.versions[r.rank], v_now, v_written.event_ids[r.rank],
        coalesce((v_written.woken ->> v_written.event_ids[r.rank]::text)::bigint[], '{}')
    from (
        select
            s.status, s.current, s.place,
            -- Which of the changes it is.
            case when s.status = 'done' then count(*) filter (where s.status = 'done') over (order by s.place) end as rank
        from unnest(v_statuses, v_current) with ordinality s (status, current, place)
    ) r
    order by r.place;
end
$$;
