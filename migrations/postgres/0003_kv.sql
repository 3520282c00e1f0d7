-- Values by collection and key.
--
-- A transaction that changes a value holds the lock of its key until the commit. A transaction that
-- applies effects holds the locks of all keys that it read or writes. So no value changes between
-- the check of a version and the commit that relies on it. The locks are of keys and not of rows,
-- because a check may also find that a key is absent.

-- The number of a key's lock: one of 4,096, so that a large batch cannot exhaust the server's table
-- of locks.
--
-- A transaction takes these locks in rising order, so that two transactions never deadlock.
--
-- Parameters: the app, the collection and the key.
-- Returns: the number.
-- Locks: none.
-- Changes: nothing.
create function tidegate.kv_stripe(p_app text, p_collection text, p_key text) returns integer
language sql immutable parallel safe
return hashtext(p_app || '/' || p_collection || '/' || p_key) & 4095;

-- Takes one of the locks of keys until the end of the transaction. 1952736358 is Tidegate's number
-- for these advisory locks. Another program that shares the database does not use it by chance.
--
-- Parameters: the number of the lock.
-- Returns: nothing.
-- Locks: the advisory lock.
-- Changes: nothing.
create function tidegate.kv_lock(p_stripe integer) returns void
language sql volatile as $$ select pg_advisory_xact_lock(1952736358, p_stripe) $$;

-- A put or a delete of a value.
create type tidegate.kv_mutation as (
    app        text,
    collection text,
    key        text,
    -- The JSON text to put. Null deletes the key.
    value      text,
    -- 'any', 'absent' (the key must not exist) or 'version' (the value must have this version).
    guard      text,
    version    bigint,
    cause      tidegate.cause
);

-- The data of a `kv.set` or `kv.delete` event. `json_build_object` would parse the value again.
-- This function keeps its text.
--
-- Parameters: the collection, the key, the value (null for a delete) and the version.
-- Returns: the JSON object.
-- Locks: none.
-- Changes: nothing.
create function tidegate.kv_event_data(p_collection text, p_key text, p_value text, p_version bigint) returns json
language sql stable parallel safe
return ('{"collection":' || to_json(p_collection) || ',"key":' || to_json(p_key) || ',"value":'
    || coalesce(p_value, 'null') || ',"version":' || p_version || '}')::json;

-- Written values: the version and the event of each mutation, by position; then the event and the
-- trigger of each outbox row, with the claim and the place of a row that was claimed inline.
create type tidegate.kv_written as (
    versions  bigint[],
    event_ids uuid[],
    woken_by  uuid[],
    woken     bigint[],
    claims    bigint[],
    places    tid[]
);

-- Writes values, and fans out their events. The guards are not checked here.
--
-- A delete of an absent key does nothing: it has no version and no event.
--
-- Postgres finds an element of a text array only by walking the array from its start. So the
-- statements take elements by position only from arrays of numbers and ids, and walk the mutations
-- once.
--
-- Parameters: the time; the mutations, at most one per key; a flag per mutation, true if the
--   mutation applies, or null if all apply; the room for an inline claim, or null.
-- Returns: the written values.
-- Locks: none of its own. The caller holds the locks of the keys.
-- Changes: kv, outbox, claims.
create function tidegate.kv_write(
    p_now timestamptz, p_mutations tidegate.kv_mutation[], p_applies boolean[] default null,
    p_room tidegate.inline_room default null
) returns tidegate.kv_written
language plpgsql as $$
declare
    v_written tidegate.kv_written;
    v_events tidegate.new_event[];
    v_deletes boolean;
begin
    select
        array_agg(d.version), array_agg(d.event_id), bool_or(d.value is null),
        array_agg(row(
            d.app, d.event_id, case when d.value is null then 'kv.delete' else 'kv.set' end,
            d.collection || '/' || d.key,
            tidegate.kv_event_data(
                p_collection => d.collection, p_key => d.key, p_value => d.value, p_version => d.version),
            d.cause
        )::tidegate.new_event) filter (where d.event_id is not null)
    into v_written.versions, v_written.event_ids, v_deletes, v_events
    from (
        select
            m.app, m.collection, m.key, m.value, m.cause,
            case when m.changes then nextval('tidegate.versions') end as version,
            case when m.changes then tidegate.uuid_v7(p_now) end as event_id
        from (
            select
                m.*,
                coalesce(m.applies, true) and (m.value is not null or exists (
                    select from tidegate.kv k
                    where k.app = m.app and k.collection = m.collection and k.key = m.key offset 0)) as changes
            from unnest(p_mutations, p_applies) m (app, collection, key, value, guard, version, cause, applies) offset 0
        ) m offset 0
    ) d;
    if v_deletes then
        delete from tidegate.kv k
        using unnest(p_mutations, p_applies) m (app, collection, key, value, guard, version, cause, applies)
        where coalesce(m.applies, true) and m.value is null
          and k.app = m.app and k.collection = m.collection and k.key = m.key;
    end if;
    insert into tidegate.kv as k (app, collection, key, value, version, updated_at)
    select m.app, m.collection, m.key, m.value::json, v_written.versions[m.n], p_now
    from unnest(p_mutations, p_applies) with ordinality m (
        app, collection, key, value, guard, version, cause, applies, n)
    where coalesce(m.applies, true) and m.value is not null
    on conflict on constraint kv_pkey do update set
        value = excluded.value, version = excluded.version, updated_at = excluded.updated_at;
    if (p_room).rows_max is null then
        select array_agg(f.event_id), array_agg(f.trigger_id) into v_written.woken_by, v_written.woken
        from tidegate.fan_out(p_now => p_now, p_source => 'kv', p_events => v_events) f;
    else
        select array_agg(f.event_id), array_agg(f.trigger_id), array_agg(f.claim), array_agg(f.place)
        into v_written.woken_by, v_written.woken, v_written.claims, v_written.places
        from tidegate.fan_out_and_claim(p_now => p_now, p_source => 'kv', p_events => v_events, p_room => p_room) f;
    end if;
    return v_written;
end
$$;

-- Puts and deletes values under their guards. If a guard fails, the other mutations still run.
--
-- Parameters: the mutations, at most one per key; the room for an inline claim, or null.
-- Returns: first one row per mutation, in order, with a status: 'done'; 'failed' (the guard does
--   not hold; `version` is the version that exists); 'absent' (there is no key to delete);
--   'unknown_app'. Then one row per outbox row, with the status 'woken', the event in `event_id`,
--   the trigger in `woken`, and the claim and the place of a row that was claimed inline.
-- Locks: the locks of the keys, until the end of the transaction.
-- Changes: kv, outbox, claims.
create function tidegate.kv_mutate(p_mutations tidegate.kv_mutation[], p_room tidegate.inline_room default null)
returns table (
    status text, version bigint, updated_at timestamptz, event_id uuid, woken bigint, claim bigint, place tid)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_statuses text[];
    v_current bigint[];
    v_applies boolean[];
    v_written tidegate.kv_written;
begin
    perform tidegate.kv_lock(s.stripe)
    from (
        select distinct tidegate.kv_stripe(m.app, m.collection, m.key) as stripe
        from unnest(p_mutations) m
        order by stripe offset 0
    ) s;
    -- The clock is read after the locks are held, so times grow with versions. The next statement
    -- sees all that was committed before.
    v_now := clock_timestamp();
    select array_agg(j.status), array_agg(j.current), array_agg(j.status = 'done')
    into v_statuses, v_current, v_applies
    from (
        select
            k.version as current,
            case
                when not exists (select from tidegate.apps a where a.name = m.app offset 0) then 'unknown_app'
                when m.guard = 'absent' and k.version is not null then 'failed'
                when m.guard = 'version' and k.version is distinct from m.version then 'failed'
                when m.value is null and k.version is null then 'absent'
                else 'done'
            end as status
        from unnest(p_mutations) m
        left join lateral (
            -- A put without a guard does not need the version that it replaces.
            select k.version from tidegate.kv k
            where (m.guard <> 'any' or m.value is null)
              and k.app = m.app and k.collection = m.collection and k.key = m.key limit 1) k on true
        offset 0
    ) j;
    v_written := tidegate.kv_write(
        p_now => v_now, p_mutations => p_mutations, p_applies => v_applies, p_room => p_room);
    return query
    select s.status, coalesce(s.version, s.current), v_now, s.event_id, null::bigint, null::bigint, null::tid
    from unnest(v_statuses, v_current, v_written.versions, v_written.event_ids) s (status, current, version, event_id);
    return query
    select 'woken', null::bigint, null::timestamptz, w.event_id, w.trigger_id, w.claim, w.place
    from unnest(v_written.woken_by, v_written.woken, v_written.claims, v_written.places) w (
        event_id, trigger_id, claim, place);
end
$$;
