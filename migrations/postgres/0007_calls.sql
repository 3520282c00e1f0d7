-- Sync calls: their rows are written already leased to the daemon that holds the connection, so that no other one ever
-- executes them. One transaction for all calls that came together.

-- Writes the rows of calls that may begin, and answers them 'begun', each with its trigger as it is now. They are many for
-- the reason given at `fan_out`: a statement that inserts costs more than its row.
create function tidegate.begin_rows(
    p_now timestamptz, p_lease_us bigint, p_ids bigint[], p_triggers bigint[], p_calls jsonb[]
) returns setof tidegate.exchanged
language plpgsql as $$
begin
    return query
    with begun as (
        insert into tidegate.outbox (
            id, trigger_id, due_at, lease, lease_until, leased_at, attempt, max_attempts, base_ms, max_ms, jitter,
            timeout_ms, depth, enqueued_at, time, event_id, root_id, parent_id, backoff, source, type, subject, actor,
            traceparent, reply_to, data, script, call_key)
        overriding system value
        select
            c.id, t.id, p_now, 1, p_now + p_lease_us * interval '1 microsecond', p_now, 1, 1, 1, 1, 0,
            coalesce((c.call ->> 'timeout_ms')::integer, t.timeout_ms), (c.call ->> 'depth')::integer, p_now, p_now,
            c.event_id, coalesce((c.call ->> 'root_id')::uuid, c.event_id), (c.call ->> 'parent_id')::uuid, 'constant',
            'http', c.call ->> 'type', c.call ->> 'subject', c.call ->> 'actor', c.call ->> 'traceparent',
            c.call ->> 'reply_to', (c.call ->> 'data')::json, c.call ->> 'script', c.call ->> 'key'
        from (
            select n.*, tidegate.uuid_v7(p_now) as event_id
            from unnest(p_ids, p_triggers, p_calls) n (id, trigger_id, call) offset 0
        ) c
        cross join lateral (select * from tidegate.triggers t where t.id = c.trigger_id limit 1) t
        returning *
    )
    select
        'begun', null::timestamptz, o.id, o.lease, o.trigger_id, o.attempt, o.due_at, o.max_attempts, o.backoff,
        o.base_ms, o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms, o.enqueued_at, o.redrive_generation, o.reply_to,
        o.handles_letter_id, o.event_id, o.source, o.type, o.subject, o.time, o.actor, o.root_id, o.parent_id, o.depth,
        o.traceparent, o.data, t.app, t.name, t.version, h.kind, h.name, s.version,
        case when t.source = 'invoke' then o.actor else t.registered_by end, 'allowed'
    from begun o
    cross join lateral (select * from tidegate.triggers t where t.id = o.trigger_id limit 1) t
    cross join lateral (
        select case when o.script is null then t.handler_kind else 'script' end as kind,
            coalesce(o.script, t.handler_name) as name) h
    left join lateral (
        select version from tidegate.scripts where app = t.app and name = h.name limit 1
    ) s on h.kind = 'script';
end
$$;

-- Begins calls, in their order. `p_calls` is an array of objects: `reply_to`, `trigger` or `app` with `script` and
-- `timeout_ms`, then the event. Answers, by kind: 'now' once, 'begun' rows, and refused calls, whose kind is why and whose
-- `reply_to` is which.
create function tidegate.begin_calls(p_calls jsonb, p_lease_us bigint) returns setof tidegate.exchanged
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    v_now timestamptz := clock_timestamp();
    v_item record;
    -- Those that may begin and have no row yet.
    v_ids bigint[] := '{}';
    v_triggers bigint[] := '{}';
    v_calls jsonb[] := '{}';
    v_row tidegate.exchanged;
    v_none tidegate.exchanged;
begin
    v_row.kind := 'now';
    v_row.now := v_now;
    return next v_row;

    for v_item in
        select c.call, c.call ? 'key' as is_keyed, t.id, t.app, t.registered_by, t.paused, t.max_concurrency
        from jsonb_array_elements(p_calls) with ordinality c (call, n)
        left join lateral (
            select * from tidegate.triggers t
            where t.id = (c.call ->> 'trigger')::bigint and t.source = 'http' and t.enabled and t.deleted_at is null
            union all
            select * from tidegate.triggers t
            where t.app = c.call ->> 'app' and t.source = 'invoke' and t.enabled and t.deleted_at is null
            limit 1) t on true
        order by c.n
    loop
        if (v_item.is_keyed or v_item.max_concurrency is not null) and cardinality(v_ids) > 0 then
            -- What follows looks for rows that hold a place or a key: those before it must be there.
            return query select * from tidegate.begin_rows(v_now, p_lease_us, v_ids, v_triggers, v_calls);
            v_ids := '{}';
            v_triggers := '{}';
            v_calls := '{}';
        end if;
        v_row := v_none;
        v_row.reply_to := v_item.call ->> 'reply_to';
        if v_item.id is null then
            v_row.kind := 'gone';
        elsif v_item.paused then
            v_row.kind := 'paused';
        elsif not v_item.call ? 'trigger' then
            null;
        elsif tidegate.standing(v_item.registered_by, v_item.app) <> 'allowed' then
            v_row.kind := tidegate.standing(v_item.registered_by, v_item.app);
        elsif v_item.max_concurrency is not null and not tidegate.has_slot(v_now, v_item.id, v_item.max_concurrency) then
            v_row.kind := 'busy';
        end if;
        if v_row.kind is null then
            v_row.id := nextval('tidegate.outbox_id_seq');
        end if;
        if v_row.kind is null and v_item.is_keyed then
            -- Who comes at the same time waits here for the end of this transaction. A key is free again when it is older
            -- than a day, or when its execution has ended without a success.
            insert into tidegate.call_keys as k (app, key, digest, delivery_id, created_at)
            values (v_item.app, v_item.call ->> 'key', v_item.call ->> 'digest', v_row.id, v_now)
            on conflict (app, key) do update set
                digest = excluded.digest, delivery_id = excluded.delivery_id, reply = null,
                created_at = excluded.created_at
                where k.created_at < v_now - interval '1 day' or (
                    k.digest = excluded.digest and k.reply is null
                    and not exists (select from tidegate.outbox o where o.id = k.delivery_id));
            if not found then
                select
                    case when k.digest <> v_item.call ->> 'digest' then 'key_reused' when k.reply is null then 'key_in_use'
                        else 'repeated' end,
                    k.delivery_id, k.reply
                into v_row.kind, v_row.id, v_row.data
                from tidegate.call_keys k where k.app = v_item.app and k.key = v_item.call ->> 'key';
                v_row.lease := 1;
            elsif random() < 0.01 then
                -- Now and then, a few at a time, and none that another is pruning.
                delete from tidegate.call_keys where (app, key) in (
                    select k.app, k.key from tidegate.call_keys k
                    where k.created_at < v_now - interval '1 day'
                    order by k.created_at
                    limit 1000
                    for update skip locked);
            end if;
        end if;
        if v_row.kind is not null then
            return next v_row;
            continue;
        end if;
        if v_item.max_concurrency is not null then
            insert into tidegate.slots (trigger_id, delivery_id, lease) values (v_item.id, v_row.id, 1);
        end if;
        v_ids := v_ids || v_row.id;
        v_triggers := v_triggers || v_item.id;
        v_calls := v_calls || v_item.call;
    end loop;
    if cardinality(v_ids) > 0 then
        return query select * from tidegate.begin_rows(v_now, p_lease_us, v_ids, v_triggers, v_calls);
    end if;
end
$$;

-- Whether a limited lane has a place left. Until the end of the transaction nobody else looks at that lane's places: calls
-- wait for each other, claims pass it by.
create function tidegate.has_slot(p_now timestamptz, p_trigger bigint, p_limit integer) returns boolean
language plpgsql as $$
declare
    v_live integer;
begin
    perform pg_advisory_xact_lock((7232::bigint << 40) | p_trigger);
    select count(*) into v_live
    from tidegate.slots s
    join tidegate.outbox o on o.id = any (array[s.delivery_id]) and o.lease = s.lease and o.lease_until > p_now
    where s.trigger_id = p_trigger;
    return v_live < p_limit;
end
$$;
