-- Match and fan-out: the only place that makes outbox rows.
--
-- Functions that are called from outside carry settings for the planner, here and in the files that follow. A plan is made
-- once for a session and kept, and statistics of a queue are always wrong: a table that was empty when the plan was made
-- has a million rows now. So the planner is left no choice but to walk indexes from the few rows in hand to the few that
-- belong to each of them; it makes no plan anew for a call, and compiles nothing.

-- Anchored and case-sensitive; '*' matches any run of characters, all else is literal. Most patterns are '*' alone.
create function tidegate.pattern_matches(pattern text, value text) returns boolean
language sql immutable parallel safe
return pattern = '*' or value collate "C" like
    replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') collate "C";

-- A UUID of version 7: the milliseconds, then random bits. A version 4 becomes one by its first six bytes and two bits.
create function tidegate.uuid_v7(moment timestamptz) returns uuid
language sql volatile parallel safe
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send(floor(date_part('epoch', moment) * 1000)::bigint) from 3) from 1 for 6),
        52, 1), 53, 1), 'hex')::uuid;

-- What is to be fanned out.
create type tidegate.new_event as (
    app         text,
    event_id    uuid,
    type        text,
    subject     text,
    data        json,
    actor       text,
    root_id     uuid,
    parent_id   uuid,
    depth       integer,
    traceparent text
);

-- Of each event one row for each enabled, living trigger of its app that it matches, or for the one trigger that is named.
-- Answers which events, by their place, gave a row to which triggers. It is one statement, and therefore one snapshot: an
-- event meets a deployment whole or not at all. And it is one for many events, because a statement that inserts reads the
-- table's check constraints from their text anew: that costs more than the row.
--
-- It sends no notification. A transaction that has sent one holds a lock of the whole cluster while its commit is written
-- to the disk, so that commits are no longer written in groups: measured, 32 clients together make 4,700 transactions a
-- second instead of 23,500. A daemon wakes its own dispatcher, and notifies the others after the commit.
create function tidegate.fan_out(
    p_now timestamptz, p_source text, p_events tidegate.new_event[], p_only bigint default null,
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
        t.id, p_now, case when p_letter is null then t.max_attempts else 1 end, e.depth, t.base_ms, t.max_ms,
        t.jitter, t.timeout_ms, p_now, p_now, e.event_id, e.root_id, e.parent_id, t.max_age_ms, p_letter,
        t.backoff, p_source, e.type, e.subject, e.actor, e.traceparent, e.data
    from unnest(p_events) with ordinality e (
        app, event_id, type, subject, data, actor, root_id, parent_id, depth, traceparent, n)
    join tidegate.triggers t on t.app = e.app and t.source = p_source and t.enabled and t.deleted_at is null
        and case
            when p_only is not null then t.id = p_only
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

-- Emits an event of an app's own, for any client and in its own transaction: a commit fires its triggers, a rollback does
-- not. Answers the event's id.
--
--     begin;
--     insert into orders …;
--     select tidegate.emit('shop', 'order.created', 'order/17', '{"total": 12.50}');
--     commit;
--
-- It runs with the rights of the schema's owner, so that an application's role needs no more than USAGE on the schema. The
-- event's actor is `sql:` and the role that logged in.
--
-- The notification has no content, so that Postgres makes one of all that a transaction sends; it goes out at the commit.
create function tidegate.emit(app text, type text, subject text default '', data jsonb default '{}') returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_id uuid := tidegate.uuid_v7(v_now);
    v_data text := coalesce(emit.data::text, 'null');
    v_control constant text := '[\u0001-\u001f\u007f-\u009f]';
begin
    if not exists (select from tidegate.apps a where a.name = emit.app) then
        raise exception 'there is no app %', quote_nullable(emit.app)
            using errcode = 'undefined_object',
            hint = 'tidegate deploy DIRECTORY makes one; "select name from tidegate.apps" shows those that exist.';
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
            hint = 'Keep what is large elsewhere, and name it in the event.';
    end if;
    perform from tidegate.fan_out(v_now, 'app', array[row(
        emit.app, v_id, emit.type, coalesce(emit.subject, ''), v_data::json,
        'sql:' || regexp_replace(session_user, v_control, '?', 'g'), v_id, null, 0, null)::tidegate.new_event]);
    if found then
        perform pg_notify('tidegate_outbox', '');
    end if;
    return v_id;
end
$$;

comment on function tidegate.emit(text, text, text, jsonb) is
    'Emits an event of an app in the current transaction, for every trigger that it matches. Answers the event''s id.';

-- Emits a daemon's events, all of one cause; with a key only once: a repetition at the same moment waits for the first
-- one at the primary key. One row for each event in their order, with the status 'emitted', or 'repeated' with the ids of
-- the first time and nobody woken; one row alone with the status 'key_reused' or 'unknown_app'.
create function tidegate.emit_events(
    p_app text, p_types text[], p_subjects text[], p_data text[], p_actor text, p_root_id uuid, p_parent_id uuid,
    p_depth integer, p_traceparent text, p_key text, p_digest text
) returns table (status text, event_id uuid, woken bigint[])
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
    v_now timestamptz := clock_timestamp();
    v_ids uuid[] := array(select tidegate.uuid_v7(v_now) from unnest(p_types));
    v_before record;
    v_row record;
    v_at integer := 1;
begin
    perform from tidegate.apps a where a.name = p_app;
    if not found then
        return query select 'unknown_app', null::uuid, null::bigint[];
        return;
    end if;
    if p_key is not null then
        insert into tidegate.idempotency_keys as k (app, key, digest, event_ids, created_at)
        values (p_app, p_key, p_digest, v_ids, v_now)
        -- One that is older than a day is as good as pruned.
        on conflict (app, key) do update
            set digest = excluded.digest, event_ids = excluded.event_ids, created_at = excluded.created_at
            where k.created_at < v_now - interval '1 day';
        if not found then
            select k.digest, k.event_ids into v_before
            from tidegate.idempotency_keys k where k.app = p_app and k.key = p_key;
            if v_before.digest is distinct from p_digest then
                return query select 'key_reused', null::uuid, null::bigint[];
            else
                return query select 'repeated', b.id, '{}'::bigint[] from unnest(v_before.event_ids) b (id);
            end if;
            return;
        end if;
        -- Now and then, a few at a time, and none that another is pruning.
        if random() < 0.01 then
            delete from tidegate.idempotency_keys where (app, key) in (
                select k.app, k.key from tidegate.idempotency_keys k
                where k.created_at < v_now - interval '1 day'
                order by k.created_at
                limit 1000
                for update skip locked);
        end if;
    end if;
    -- The rows of one event come one after the other: `woken` gathers those of the event at `v_at`.
    status := 'emitted';
    woken := '{}';
    for v_row in
        select f.event_id, f.trigger_id from tidegate.fan_out(v_now, 'app', array(
            select row(
                p_app, e.id, e.type, e.subject, e.data::json, p_actor, coalesce(p_root_id, e.id), p_parent_id, p_depth,
                p_traceparent)::tidegate.new_event
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
