-- Values. Whoever changes one holds its lock, and whoever checks versions before applying effects holds the locks of
-- all keys that it read or writes, so that nothing changes between a check and its commit, not even an absent key.

-- The lock of a key: one of 4,096, so that a large batch cannot run the server out of locks. Taken in rising order.
create function tidegate.kv_stripe(p_app text, p_collection text, p_key text) returns integer
language sql immutable parallel safe
return hashtext(p_app || '/' || p_collection || '/' || p_key) & 4095;

-- 7231 is this program's number for these locks.
create function tidegate.kv_lock(p_stripe integer) returns void
language sql volatile as $$ select pg_advisory_xact_lock(7231, p_stripe) $$;

-- A value to set, or to delete where it is null. One that does not apply keeps its place and changes nothing.
create type tidegate.kv_change as (
    applies     boolean,
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
-- change's version and event, by its place, and which events gave a row to which triggers. Deleting what is not there does
-- nothing, and has neither version nor event.
--
-- An array of texts has no index to its elements: what is taken from one by its place is looked for from the start. So
-- only arrays of numbers and ids are, and the others are gone through once.
create function tidegate.kv_write(
    p_now timestamptz, p_changes tidegate.kv_change[], out versions bigint[], out event_ids uuid[],
    out woken_by uuid[], out woken bigint[]
)
language plpgsql as $$
declare
    v_events tidegate.new_event[];
    v_deletes boolean;
begin
    select
        array_agg(d.version), array_agg(d.event_id), bool_or(d.value is null),
        array_agg(row(
            d.app, d.event_id, case when d.value is null then 'kv.delete' else 'kv.set' end,
            d.collection || '/' || d.key,
            -- The value's text as it is: json_build_object would keep it too, but not without parsing it again.
            ('{"collection":' || to_json(d.collection) || ',"key":' || to_json(d.key) || ',"value":'
                || coalesce(d.value, 'null') || ',"version":' || d.version || '}')::json,
            d.actor, coalesce(d.root_id, d.event_id), d.parent_id, d.depth, d.traceparent
        )::tidegate.new_event) filter (where d.event_id is not null)
    into versions, event_ids, v_deletes, v_events
    from (
        select
            c.*,
            case when c.is_there then nextval('tidegate.versions') end as version,
            case when c.is_there then tidegate.uuid_v7(p_now) end as event_id
        from (
            select
                c.*,
                c.applies and (c.value is not null or exists (
                    select from tidegate.kv k
                    where k.app = c.app and k.collection = c.collection and k.key = c.key offset 0)) as is_there
            from unnest(p_changes) c offset 0
        ) c offset 0
    ) d;
    if v_deletes then
        delete from tidegate.kv k using unnest(p_changes) c
        where c.applies and c.value is null and k.app = c.app and k.collection = c.collection and k.key = c.key;
    end if;
    insert into tidegate.kv as k (app, collection, key, value, version, updated_at)
    select c.app, c.collection, c.key, c.value::json, versions[c.place], p_now
    from unnest(p_changes) with ordinality c (
        applies, app, collection, key, value, actor, root_id, parent_id, depth, traceparent, place)
    where c.applies and c.value is not null
    on conflict on constraint kv_pkey do update set
        value = excluded.value, version = excluded.version, updated_at = excluded.updated_at;
    select array_agg(f.event_id), array_agg(f.trigger_id) into woken_by, woken
    from tidegate.fan_out(p_now, 'kv', v_events) f;
end
$$;

-- What callers put and delete, each key at most once. A guard is 'any', 'absent' or 'version'. First the status of each, in
-- their order: 'done', 'failed' (the guard does not hold; the version is that of what is there), 'absent' (there was nothing
-- to delete) or 'unknown_app'; one that is not done leaves the others alone. Then, with the status 'woken', which event gave
-- a row to which trigger.
create function tidegate.kv_mutate(
    p_apps text[], p_collections text[], p_keys text[], p_values text[], p_guards text[], p_versions bigint[],
    p_actors text[], p_root_ids uuid[], p_parent_ids uuid[], p_depths integer[], p_traceparents text[]
) returns table (status text, version bigint, updated_at timestamptz, event_id uuid, woken bigint)
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
    v_statuses text[];
    v_current bigint[];
    v_changes tidegate.kv_change[];
    v_written record;
begin
    perform tidegate.kv_lock(s.stripe)
    from (
        select distinct tidegate.kv_stripe(c.app, c.collection, c.key) as stripe
        from unnest(p_apps, p_collections, p_keys) c (app, collection, key)
        order by stripe offset 0
    ) s;
    -- Behind the locks the clock is read and all that was written before is seen, so times grow with versions.
    v_now := clock_timestamp();
    select
        array_agg(j.status), array_agg(j.current),
        array_agg(row(
            j.status = 'done', j.app, j.collection, j.key, j.value, j.actor, j.root_id, j.parent_id, j.depth,
            j.traceparent)::tidegate.kv_change)
    into v_statuses, v_current, v_changes
    from (
        select
            c.*, k.version as current,
            case
                when not exists (select from tidegate.apps a where a.name = c.app offset 0) then 'unknown_app'
                when c.guard = 'absent' and k.version is not null then 'failed'
                when c.guard = 'version' and k.version is distinct from c.version then 'failed'
                when c.value is null and k.version is null then 'absent'
                else 'done'
            end as status
        from unnest(
            p_apps, p_collections, p_keys, p_values, p_guards, p_versions, p_actors, p_root_ids, p_parent_ids, p_depths,
            p_traceparents) c (
            app, collection, key, value, guard, version, actor, root_id, parent_id, depth, traceparent)
        left join lateral (
            -- Nobody asks what a value replaces that is put without a guard.
            select k.version from tidegate.kv k
            where (c.guard <> 'any' or c.value is null)
              and k.app = c.app and k.collection = c.collection and k.key = c.key limit 1) k on true
        offset 0
    ) j;
    v_written := tidegate.kv_write(v_now, v_changes);
    return query
    select s.status, coalesce(s.version, s.current), v_now, s.event_id, null::bigint
    from unnest(v_statuses, v_current, v_written.versions, v_written.event_ids) s (status, current, version, event_id);
    return query
    select 'woken', null::bigint, null::timestamptz, w.event_id, w.trigger_id
    from unnest(v_written.woken_by, v_written.woken) w (event_id, trigger_id);
end
$$;
