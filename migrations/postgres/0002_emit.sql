-- Matching and fan-out. `tidegate.fan_out` is the only function that writes outbox rows for events.
--
-- How the statements of these files are written, and why: Postgres plans a statement of a function
-- once per session and keeps the plan. The statistics of a queue are always wrong: a table that was
-- empty when the plan was made may have a million rows now. So each statement leaves the planner
-- one choice: to walk indexes from the few rows that it already has to the few rows that belong to
-- each of them. The last migration file sets the planner's settings for all functions that clients
-- call.

-- Whether a trigger's pattern matches a text.
--
-- The match is anchored and case-sensitive. `*` matches any number of characters, including none.
-- Each other character matches itself. Most patterns are `*` alone.
--
-- Parameters: the pattern; the text.
-- Returns: true if the whole text matches.
-- Locks: none.
-- Changes: nothing.
create function tidegate.pattern_matches(pattern text, value text) returns boolean
language sql immutable parallel safe
return pattern = '*' or value collate "C" like
    replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') collate "C";

-- Makes a UUID of version 7: the milliseconds of a time, then random bits.
--
-- The function turns a version 4 UUID into a version 7 one: it replaces the first six bytes and two
-- bits.
--
-- Parameters: the time.
-- Returns: the UUID.
-- Locks: none.
-- Changes: nothing.
create function tidegate.uuid_v7(moment timestamptz) returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(date_part('epoch', moment) * 1000)::bigint) from 3) from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid;

-- The cause of an event: the principal that acts, and the place in a chain of events.
create type tidegate.cause as (
    actor       text,
    -- The first event of the chain. Null: the new event is the first one.
    root_id     uuid,
    parent_id   uuid,
    depth       integer,
    traceparent text
);

-- An event to fan out.
create type tidegate.new_event as (
    app      text,
    event_id uuid,
    type     text,
    subject  text,
    data     json,
    cause    tidegate.cause
);

-- Writes one outbox row per event and matching trigger.
--
-- A trigger matches if it is enabled, not deleted, of the event's app and source, and if its
-- patterns match.
--
-- One statement writes the rows of all events. One statement has one snapshot, so an event sees all
-- triggers of a deployment or none of them. And a statement that inserts into the outbox parses the
-- table's check constraints again, which costs more than the row.
--
-- The function sends no notification. A transaction that notifies holds a lock of the whole cluster
-- while its commit is written to the disk, so Postgres cannot group commits: 32 clients make 4,700
-- transactions a second instead of 23,500. A daemon wakes its own dispatcher, and notifies the
-- other daemons after the commit.
--
-- Parameters: the time; the source of the events; the events; the only trigger that gets rows,
--   regardless of its patterns, or null; the dead letter that the rows handle, or null.
-- Returns: one row per row written, in the order of the events and of the trigger ids.
-- Locks: none.
-- Changes: inserts into outbox.
create function tidegate.fan_out(
    p_now timestamptz, p_source text, p_events tidegate.new_event[], p_only_trigger bigint default null,
    p_letter bigint default null
) returns table (event_id uuid, trigger_id bigint)
language plpgsql as $$
#variable_conflict use_column
begin
    return query
    insert into tidegate.outbox (
        trigger_id, due_at, max_attempts, depth, base_ms, max_ms, jitter, timeout_ms, enqueued_at, time, event_id,
        root_id, parent_id, max_age_ms, handles_letter_id, backoff, source, type, subject, actor, traceparent, data)
    select
        t.id, p_now, case when p_letter is null then t.max_attempts else 1 end, (e.cause).depth, t.base_ms, t.max_ms,
        t.jitter, t.timeout_ms, p_now, p_now, e.event_id, coalesce((e.cause).root_id, e.event_id),
        (e.cause).parent_id, t.max_age_ms, p_letter, t.backoff, p_source, e.type, e.subject, (e.cause).actor,
        (e.cause).traceparent, e.data
    from unnest(p_events) with ordinality e (app, event_id, type, subject, data, cause, n)
    join tidegate.triggers t on t.app = e.app and t.source = p_source and t.enabled and t.deleted_at is null
        and case
            when p_only_trigger is not null then t.id = p_only_trigger
            when p_source = 'kv' then
                case e.type when 'kv.set' then t.on_set when 'kv.delete' then t.on_delete else false end
                and tidegate.pattern_matches(t.first_pattern, left(e.subject, strpos(e.subject, '/') - 1))
                and tidegate.pattern_matches(t.second_pattern, substr(e.subject, strpos(e.subject, '/') + 1))
            when p_source = 'app' then
                tidegate.pattern_matches(t.first_pattern, e.type)
                and tidegate.pattern_matches(t.second_pattern, e.subject)
            when p_source = 'dead_letter' then tidegate.pattern_matches(t.first_pattern, e.subject)
            else false
          end
    order by e.n, t.id
    returning event_id, trigger_id;
end
$$;

-- Emits an event of an app in the client's own transaction. Any client may call it.
--
--     begin;
--     insert into orders …;
--     select tidegate.emit('shop', 'order.created', 'order/17', '{"total": 12.50}');
--     commit;
--
-- A commit fires the app's triggers. A rollback fires none. The event's actor is `sql:` and the
-- role that logged in. The function runs with the rights of the schema's owner, so a role of an
-- application needs only USAGE on the schema.
--
-- The notification has no payload, so Postgres merges all notifications of a transaction into one
-- and sends it at the commit.
--
-- Parameters: the app; the event's type, subject and data.
-- Returns: the event's id.
-- Locks: none.
-- Changes: inserts into outbox. Sends a notification if a trigger matched.
create function tidegate.emit(app text, type text, subject text default '', data jsonb default '{}') returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_id uuid := tidegate.uuid_v7(v_now);
    v_data text := coalesce(emit.data::text, 'null');
    v_control constant text := '[\u0001-\u001f\u007f-\u009f]';
    v_actor text := 'sql:' || regexp_replace(session_user, v_control, '?', 'g');
begin
    if not exists (select from tidegate.apps a where a.name = emit.app) then
        raise exception 'there is no app %', quote_nullable(emit.app)
            using errcode = 'undefined_object',
            hint = 'tidegate deploy DIRECTORY creates it; "select name from tidegate.apps" shows those that exist.';
    end if;
    if emit.type is null or octet_length(emit.type) not between 1 and 255 or emit.type ~ v_control then
        raise exception 'the event type % is not valid', quote_nullable(emit.type)
            using errcode = 'invalid_parameter_value',
            hint = 'Use 1 to 255 bytes without control characters, such as ''order.created''.';
    end if;
    if octet_length(emit.subject) > 768 or emit.subject ~ v_control then
        raise exception 'the subject % is not valid', quote_nullable(left(emit.subject, 80))
            using errcode = 'invalid_parameter_value',
            hint = 'Use at most 768 bytes without control characters, such as ''order/17''.';
    end if;
    if octet_length(v_data) > 262144 then
        raise exception 'the data of the event is % bytes long, and at most 262144 (256 KiB) are allowed',
            octet_length(v_data)
            using errcode = 'program_limit_exceeded',
            hint = 'Keep large data elsewhere, and put its name into the event.';
    end if;
    perform from tidegate.fan_out(p_now => v_now, p_source => 'app', p_events => array[row(
        emit.app, v_id, emit.type, coalesce(emit.subject, ''), v_data::json,
        row(v_actor, null, null, 0, null)::tidegate.cause)::tidegate.new_event]);
    if found then
        perform pg_notify('tidegate_outbox', '');
    end if;
    return v_id;
end
$$;

comment on function tidegate.emit(text, text, text, jsonb) is
    'Emits an event of an app in the current transaction, for every trigger that matches. Returns the id of the event.';

-- Removes idempotency keys that are older than a day, at most 1,000 of them.
--
-- Parameters: the time.
-- Returns: nothing.
-- Locks: the rows that it deletes; it skips rows that are locked, so two prunings never wait for
--   each other.
-- Changes: deletes from idempotency_keys.
create function tidegate.prune_idempotency_keys(p_now timestamptz) returns void
language plpgsql as $$
begin
    delete from tidegate.idempotency_keys where (app, key) in (
        select k.app, k.key from tidegate.idempotency_keys k
        where k.created_at < p_now - interval '1 day'
        order by k.created_at
        limit 1000
        for update skip locked);
end
$$;

-- Stores an idempotency key with the events of its request, or finds the request that used the key
-- before.
--
-- A key that is older than a day counts as pruned.
--
-- Parameters: the time; the app; the key; the digest of the request; the ids of its events.
-- Returns: the status 'new', 'repeated' (the key has the same digest: `first_ids` are the events of
--   the first request) or 'key_reused' (the key has another digest).
-- Locks: the row of the key. A request with the same key at the same time waits here for the end of
--   this transaction.
-- Changes: inserts or updates a row of idempotency_keys. One new key in 100 also prunes old keys.
create function tidegate.store_idempotency_key(
    p_now timestamptz, p_app text, p_key text, p_digest text, p_event_ids uuid[], out status text, out first_ids uuid[]
)
language plpgsql as $$
declare
    v_first_digest text;
begin
    insert into tidegate.idempotency_keys as k (app, key, digest, event_ids, created_at)
    values (p_app, p_key, p_digest, p_event_ids, p_now)
    on conflict (app, key) do update
        set digest = excluded.digest, event_ids = excluded.event_ids, created_at = excluded.created_at
        where k.created_at < p_now - interval '1 day';
    if found then
        status := 'new';
        if random() < 0.01 then
            perform tidegate.prune_idempotency_keys(p_now => p_now);
        end if;
        return;
    end if;
    select k.digest, k.event_ids into v_first_digest, first_ids
    from tidegate.idempotency_keys k where k.app = p_app and k.key = p_key;
    status := case when v_first_digest is distinct from p_digest then 'key_reused' else 'repeated' end;
end
$$;

-- Emits the events of one request of a daemon. All events have one cause.
--
-- Parameters: the app; the types, subjects and data of the events; their cause; the idempotency key
--   of the request and its digest, or null.
-- Returns: one row per event, in order, with the status 'emitted' and the triggers that got a row;
--   or with the status 'repeated', the ids of the first request and no trigger. Or one row alone
--   with the status 'key_reused' or 'unknown_app'.
-- Locks: the row of the idempotency key.
-- Changes: inserts into outbox and idempotency_keys.
create function tidegate.emit_events(
    p_app text, p_types text[], p_subjects text[], p_data text[], p_cause tidegate.cause, p_key text, p_digest text
) returns table (status text, event_id uuid, woken bigint[])
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_ids uuid[] := array(select tidegate.uuid_v7(v_now) from unnest(p_types));
    v_stored record;
    v_row record;
    v_at integer := 1;
begin
    perform from tidegate.apps a where a.name = p_app;
    if not found then
        return query select 'unknown_app', null::uuid, null::bigint[];
        return;
    end if;
    if p_key is not null then
        v_stored := tidegate.store_idempotency_key(
            p_now => v_now, p_app => p_app, p_key => p_key, p_digest => p_digest, p_event_ids => v_ids);
        if v_stored.status = 'key_reused' then
            return query select 'key_reused', null::uuid, null::bigint[];
            return;
        elsif v_stored.status = 'repeated' then
            return query select 'repeated', f.id, '{}'::bigint[] from unnest(v_stored.first_ids) f (id);
            return;
        end if;
    end if;
    -- The rows come in the order of the events. `woken` collects the triggers of the event at
    -- `v_at`.
    status := 'emitted';
    woken := '{}';
    for v_row in
        select f.event_id, f.trigger_id from tidegate.fan_out(p_now => v_now, p_source => 'app', p_events => array(
            select row(p_app, e.id, e.type, e.subject, e.data::json, p_cause)::tidegate.new_event
            from unnest(v_ids, p_types, p_subjects, p_data) with ordinality e (id, type, subject, data, n)
            order by e.n)) f
    loop
        while v_ids[v_at] <> v_row.event_id loop
            event_id := v_ids[v_at];
            return next;
            woken := '{}';
            v_at := v_at + 1;
        end loop;
        woken := woken || v_row.trigger_id;
    end loop;
    while v_at <= cardinality(v_ids) loop
        event_id := v_ids[v_at];
        return next;
        woken := '{}';
        v_at := v_at + 1;
    end loop;
end
$$;
