-- Matching and fan-out. `fan_out` and `fan_out_and_claim` alone write outbox rows for events.
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

-- The part of an event that Tidegate encodes once, at the emit, and hands through: a JSON array of
-- the source, type, subject and actor. An event with a parent or a trace context has a fifth
-- element: an object with `root`, `parent`, `depth` and `traceparent`, without nulls.
--
-- Parameters: the source, type and subject; the cause.
-- Returns: the JSON text.
-- Locks: none.
-- Changes: nothing.
create function tidegate.event_head(p_source text, p_type text, p_subject text, p_cause tidegate.cause) returns text
language sql stable parallel safe
return '["' || p_source || '",' || to_json(p_type) || ',' || to_json(p_subject) || ',' || to_json((p_cause).actor)
    || case
        when (p_cause).depth = 0 and (p_cause).traceparent is null then ']'
        else ',' || json_strip_nulls(json_build_object(
            'root', (p_cause).root_id, 'parent', (p_cause).parent_id, 'depth', nullif((p_cause).depth, 0),
            'traceparent', (p_cause).traceparent)) || ']'
    end;

-- The cause of an event that is already written.
--
-- Parameters: the event's head and id.
-- Returns: the cause, always with a root.
-- Locks: none.
-- Changes: nothing.
create function tidegate.cause_of(p_event text, p_event_id uuid) returns tidegate.cause
language plpgsql immutable parallel safe as $$
declare
    v_event constant json := p_event;
begin
    return row(
        v_event ->> 3, coalesce((v_event #>> '{4,root}')::uuid, p_event_id), (v_event #>> '{4,parent}')::uuid,
        coalesce((v_event #>> '{4,depth}')::integer, 0), v_event #>> '{4,traceparent}')::tidegate.cause;
end
$$;

-- The triggers that match events: each is enabled, not deleted, of the event's app and source, and
-- its patterns match.
--
-- Postgres inlines the function into the statement that calls it. One statement has one snapshot,
-- so an event sees all triggers of a deployment or none of them.
--
-- Parameters: the source of the events; the events; the only trigger that matches, regardless of
--   its patterns, or null.
-- Returns: one row per event and trigger. `n` is the position of the event.
-- Locks: none.
-- Changes: nothing.
create function tidegate.fan_match(p_source text, p_events tidegate.new_event[], p_only_trigger bigint)
returns table (
    n bigint, event_id uuid, event text, data json, trigger_id bigint, max_attempts integer, policy_id integer,
    timeout_ms integer, is_limited boolean, is_paused boolean)
language sql stable as $$
    select
        e.n, e.event_id, tidegate.event_head(p_source, e.type, e.subject, e.cause), e.data, t.id, t.max_attempts,
        t.policy_id, t.timeout_ms, t.max_concurrency is not null, t.paused
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
$$;

-- Writes one outbox row per event and matching trigger.
--
-- One statement writes the rows of all events, because a statement that inserts into the outbox
-- parses the table's check constraints again, which costs more than the row.
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
        trigger_id, due_at, enqueued_at, time, event_id, max_attempts, policy_id, timeout_ms, handles_letter_id, event,
        data)
    select
        m.trigger_id, p_now, p_now, p_now, m.event_id, case when p_letter is null then m.max_attempts else 1 end,
        case when p_letter is null then m.policy_id else tidegate.once(m.policy_id) end, m.timeout_ms, p_letter, m.event,
        m.data
    from tidegate.fan_match(p_source, p_events, p_only_trigger) m
    order by m.n, m.trigger_id
    returning event_id, trigger_id;
end
$$;

-- The room for an inline claim: `InlineRoom` in core/src/room.rs.
create type tidegate.inline_room as (
    rows_max     integer,
    closed_lanes bigint[],
    lease_us     bigint
);

-- Writes rows as `fan_out` does, and claims some of them in the same statement: an inline claim.
-- The claimed rows do not enter the index of lanes.
--
-- It is the SQL form of `InlineRoom::quotas`, and the two must stay equal: a closed lane gets no
-- quota, and neither does a lane with a max_concurrency. All lanes together get at most `rows_max`
-- rows, in the order of their ids. A paused lane uses up its quota but is not claimed.
--
-- Parameters: the time; the source of the events; the events; the room.
-- Returns: one row per row written, in the order of the events and of the trigger ids. `claim` and
--   `place` are null if the row waits in its lane.
-- Locks: none.
-- Changes: inserts into outbox and claims.
create function tidegate.fan_out_and_claim(
    p_now timestamptz, p_source text, p_events tidegate.new_event[], p_room tidegate.inline_room
) returns table (event_id uuid, trigger_id bigint, claim bigint, place tid)
language plpgsql as $$
#variable_conflict use_column
begin
    return query
    with matched as materialized (
        select
            m.*,
            m.counts and not m.is_paused
                and count(*) filter (where m.counts) over (order by m.trigger_id, m.n) <= (p_room).rows_max as is_inline
        from (
            select m.*, not m.is_limited and m.trigger_id <> all ((p_room).closed_lanes) as counts
            from tidegate.fan_match(p_source, p_events, null) m
        ) m
    ), lane as materialized (
        select m.trigger_id as id, tidegate.claim_number() as claim from matched m where m.is_inline group by m.trigger_id
    ), written as (
        insert into tidegate.outbox (
            trigger_id, due_at, enqueued_at, time, event_id, max_attempts, policy_id, timeout_ms, waits, event, data)
        select
            m.trigger_id, p_now, p_now, p_now, m.event_id, m.max_attempts, m.policy_id, m.timeout_ms, not m.is_inline,
            m.event, m.data
        from matched m
        order by m.n, m.trigger_id
        returning id, ctid as place, trigger_id, event_id, waits
    ), claimed as (
        insert into tidegate.claims (
            claim, trigger_id, lease_until, claimed_at, rows_left, ids, places)
        select
            l.claim, l.id, p_now + (p_room).lease_us * interval '1 microsecond', p_now, count(*),
            array_agg(w.id order by w.id), array_agg(w.place order by w.id)
        from written w join lane l on l.id = w.trigger_id
        where not w.waits
        group by l.claim, l.id
    )
    select w.event_id, w.trigger_id, l.claim, case when l.claim is not null then w.place end
    from written w left join lane l on l.id = w.trigger_id and not w.waits
    order by w.id;
end
$$;

-- Checks that the role that logged in may emit events of an app in SQL.
--
-- Parameters: the app.
-- Returns: nothing. An error names the statement that allows the role.
-- Locks: none.
-- Changes: nothing.
create function tidegate.require_emitter(p_app text) returns void
language plpgsql stable as $$
begin
    -- `tidegate.emit` runs as the owner of the schema.
    if pg_has_role(session_user, current_user, 'member') or exists (
        select from tidegate.emitters e join pg_roles r on r.rolname = e.role
        where e.app = p_app and pg_has_role(session_user, r.oid, 'member'))
    then
        return;
    end if;
    raise exception 'the role % may not emit events of the app %', session_user, p_app
        using errcode = 'insufficient_privilege',
        hint = format('The owner of the schema can allow it: insert into tidegate.emitters (app, role) values (%L, %L);',
            p_app, session_user);
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
-- application needs only USAGE on the schema and a row in `emitters`.
--
-- The notification has no payload, so Postgres merges all notifications of a transaction into one
-- and sends it at the commit. A transaction that notifies cannot be prepared (two-phase commit),
-- and such transactions commit one after the other. `set tidegate.notify = off`, in the session or
-- as the default of a role or a database, leaves the notification out. Then the next discovery
-- finds the rows, after at most `dispatcher.poll_interval_ms`.
--
-- Parameters: the app; the event's type, subject and data.
-- Returns: the event's id.
-- Locks: none.
-- Changes: inserts into outbox. Sends a notification if a trigger matched.
create function tidegate.emit(app text, type text, subject text default '', data jsonb default '{}') returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- The text of the pattern below depends on it.
set standard_conforming_strings = on
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
    perform tidegate.require_emitter(p_app => emit.app);
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
    if found and coalesce(nullif(current_setting('tidegate.notify', true), ''), 'on')::boolean then
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
--   of the request and its digest, or null; the room for an inline claim, or null.
-- Returns: one row per event, in order, with the status 'emitted' and the triggers that got a row,
--   each with the claim and place of the row if it was claimed inline; or with the status
--   'repeated', the ids of the first request and no trigger. Or one row alone with the status
--   'key_reused' or 'unknown_app'.
-- Locks: the row of the idempotency key.
-- Changes: inserts into outbox, claims and idempotency_keys.
create function tidegate.emit_events(
    p_app text, p_types text[], p_subjects text[], p_data text[], p_cause tidegate.cause, p_key text, p_digest text,
    p_room tidegate.inline_room default null
) returns table (status text, event_id uuid, woken bigint[], claims bigint[], places tid[])
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_ids uuid[] := array(select tidegate.uuid_v7(v_now) from unnest(p_types));
    v_events tidegate.new_event[];
    v_stored record;
begin
    perform from tidegate.apps a where a.name = p_app;
    if not found then
        return query select 'unknown_app', null::uuid, null::bigint[], null::bigint[], null::tid[];
        return;
    end if;
    if p_key is not null then
        v_stored := tidegate.store_idempotency_key(
            p_now => v_now, p_app => p_app, p_key => p_key, p_digest => p_digest, p_event_ids => v_ids);
        if v_stored.status = 'key_reused' then
            return query select 'key_reused', null::uuid, null::bigint[], null::bigint[], null::tid[];
            return;
        elsif v_stored.status = 'repeated' then
            return query select 'repeated', f.id, '{}'::bigint[], '{}'::bigint[], '{}'::tid[]
                from unnest(v_stored.first_ids) f (id);
            return;
        end if;
    end if;
    v_events := array(
        select row(p_app, e.id, e.type, e.subject, e.data::json, p_cause)::tidegate.new_event
        from unnest(v_ids, p_types, p_subjects, p_data) with ordinality e (id, type, subject, data, n)
        order by e.n);
    return query
    select
        'emitted', r.event_id, coalesce(array_agg(r.trigger_id) filter (where r.trigger_id is not null), '{}'),
        coalesce(array_agg(r.claim) filter (where r.claim is not null), '{}'),
        coalesce(array_agg(r.place) filter (where r.claim is not null), '{}')
    from (
        select e.id as event_id, e.n, null::bigint as trigger_id, null::bigint as claim, null::tid as place
        from unnest(v_ids) with ordinality e (id, n)
        union all
        select f.event_id, null, f.trigger_id, null, null
        from tidegate.fan_out(p_now => v_now, p_source => 'app', p_events => v_events) f
        where (p_room).rows_max is null
        union all
        select f.event_id, null, f.trigger_id, f.claim, f.place
        from tidegate.fan_out_and_claim(p_now => v_now, p_source => 'app', p_events => v_events, p_room => p_room) f
        where (p_room).rows_max is not null
    ) r
    group by r.event_id
    order by min(r.n);
end
$$;

-- The deliveries in the outbox, for reading in psql: the row, and the fields of its event.
create view tidegate.deliveries as
select
    o.id, t.app, t.name as trigger, o.due_at, o.attempt, o.lost, p.max_attempts, p.max_lost, o.timeout_ms, o.enqueued_at, o.event_id,
    o.event::json ->> 0 as source, o.event::json ->> 1 as type, o.event::json ->> 2 as subject, o.time, c.actor, c.root_id,
    c.parent_id, c.depth, c.traceparent, o.data, o.failed, p.backoff, p.base_ms, p.max_ms, p.jitter, p.max_age_ms
from tidegate.outbox o
join tidegate.triggers t on t.id = o.trigger_id
join tidegate.policies p on p.id = o.policy_id
cross join lateral tidegate.cause_of(p_event => o.event, p_event_id => o.event_id) c;
