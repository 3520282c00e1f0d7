-- The dispatcher's requests, each one call and one transaction.

-- A claim is valid while its row bears the lease and is leased, expired or not. Each statement of these functions sees
-- what was committed before it began, so a check that follows a lock is a check of the present.

-- Applies a delivery's effects. False: what it had read was written by somebody else, and nothing was changed. The
-- caller holds the locks of all keys.
create function tidegate.apply_effects(
    p_now timestamptz, p_delivery bigint, p_effects jsonb, out applied boolean, out woken bigint[]
)
language plpgsql as $$
declare
    v_cause record;
    v_item jsonb;
    v_id uuid;
begin
    woken := '{}';
    select t.app, t.registered_by, o.root_id, o.event_id, o.depth + 1 as depth, o.traceparent into strict v_cause
    from tidegate.outbox o join tidegate.triggers t on t.id = o.trigger_id
    where o.id = p_delivery;
    applied := not exists (
        select from jsonb_array_elements(p_effects -> 'reads') r
        left join tidegate.kv k on k.app = v_cause.app and k.collection = r ->> 0 and k.key = r ->> 1
        where coalesce(k.version, -1) <> (r ->> 2)::bigint);
    if not applied then
        return;
    end if;
    for v_item in select * from jsonb_array_elements(p_effects -> 'writes') loop
        woken := woken || (select w.woken from tidegate.kv_write(
            p_now, v_cause.app, v_item ->> 0, v_item ->> 1, v_item ->> 2, v_cause.registered_by, v_cause.root_id,
            v_cause.event_id, v_cause.depth, v_cause.traceparent) w);
    end loop;
    for v_item in select * from jsonb_array_elements(p_effects -> 'events') loop
        v_id := tidegate.uuid_v7(p_now);
        woken := woken || tidegate.fan_out(
            p_now, v_cause.app, 'app', v_id, v_item ->> 0, v_item ->> 1, (v_item ->> 2)::json, v_cause.registered_by,
            v_cause.root_id, v_cause.event_id, v_cause.depth, v_cause.traceparent);
    end loop;
end
$$;

-- Moves a delivery to the dead letters and fires the triggers that listen for that.
create function tidegate.bury(p_now timestamptz, p_delivery bigint, p_verdict jsonb) returns bigint[]
language plpgsql as $$
declare
    v_letter record;
    v_id uuid := tidegate.uuid_v7(p_now);
begin
    if (p_verdict ->> 'disable_trigger')::boolean then
        update tidegate.triggers t
        set enabled = false, spec = jsonb_set(spec, '{enabled}', 'false'), version = version + 1
        from tidegate.outbox o
        where o.id = p_delivery and t.id = o.trigger_id;
    end if;
    insert into tidegate.dead_letters (
        app, delivery_id, trigger_id, trigger_name, trigger_version, handler_kind, handler_name, script_version,
        principal, reason, attempts, failed, fingerprint, enqueued_at, created_at, redrive_generation,
        previous_letter_id, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, event_id, source,
        type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
    select
        t.app, o.id, t.id, t.name, t.version, case when t.deleted_at is null then t.handler_kind end,
        case when t.deleted_at is null then t.handler_name end, case when t.deleted_at is null then s.version end,
        t.registered_by, p_verdict ->> 'reason', (p_verdict ->> 'attempts')::integer,
        coalesce(o.failed, '[]') || coalesce(nullif(p_verdict -> 'failed', 'null'), '[]'), p_verdict ->> 'fingerprint',
        o.enqueued_at, p_now, o.redrive_generation, o.previous_letter_id, o.max_attempts, o.backoff, o.base_ms,
        o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms, o.event_id, o.source, o.type, o.subject, o.time, o.actor,
        o.root_id, o.parent_id, o.depth, o.traceparent, o.data
    from tidegate.outbox o
    join tidegate.triggers t on t.id = o.trigger_id
    left join tidegate.scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
    where o.id = p_delivery
    returning * into strict v_letter;
    delete from tidegate.outbox where id = p_delivery;
    return tidegate.fan_out(
        p_now, v_letter.app, 'dead_letter', v_id, 'dead_letter.created', v_letter.trigger_name,
        json_build_object(
            'dead_letter_id', v_letter.id, 'trigger', v_letter.trigger_name, 'reason', v_letter.reason,
            'fingerprint', v_letter.fingerprint),
        v_letter.principal, v_letter.root_id, v_letter.event_id, v_letter.depth + 1, v_letter.traceparent,
        null, v_letter.id);
end
$$;

-- Settles one delivery in one of the rarer ways: 'applied', 'fenced' or 'conflicted'.
create function tidegate.settle(p_now timestamptz, p_settlement jsonb, out result text, out woken bigint[])
language plpgsql as $$
declare
    v_id bigint := (p_settlement ->> 'id')::bigint;
    v_verdict jsonb := p_settlement -> 'verdict';
    v_kind text := v_verdict ->> 'kind';
    v_delay interval := make_interval(secs => coalesce((v_verdict ->> 'delay_us')::bigint, 0) / 1000000.0);
    v_applied boolean;
begin
    result := 'applied';
    woken := '{}';
    perform from tidegate.outbox
    where id = v_id and lease = (p_settlement ->> 'lease')::bigint and lease_until > 'epoch'
    for update;
    if not found then
        result := 'fenced';
        return;
    end if;
    if v_kind in ('done', 'handled') then
        select e.applied, e.woken into v_applied, woken
        from tidegate.apply_effects(p_now, v_id, v_verdict -> 'effects') e;
        if not v_applied then
            result := 'conflicted';
            return;
        end if;
    end if;
    case v_kind
        when 'retry' then
            update tidegate.outbox set
                due_at = p_now + v_delay, lease_until = 'epoch',
                failed = coalesce(failed, '[]') || (v_verdict -> 'failed')
            where id = v_id;
        when 'deferred' then
            update tidegate.outbox set
                due_at = p_now + v_delay, lease_until = 'epoch', attempt = greatest(attempt - 1, 0)
            where id = v_id;
        when 'dead' then
            woken := tidegate.bury(p_now, v_id, v_verdict);
        when 'dropped' then
            insert into tidegate.loops as l (trigger_id, root_id, count, last_event_id, last_at)
            select trigger_id, root_id, 1, event_id, p_now from tidegate.outbox where id = v_id
            on conflict (trigger_id, root_id) do update set
                count = l.count + 1, last_event_id = excluded.last_event_id, last_at = excluded.last_at;
        when 'abandoned' then
            insert into tidegate.abandoned_executions (delivery_id, app, trigger_id, event_id, reply_to, cause, at)
            select o.id, t.app, o.trigger_id, o.event_id, coalesce(o.reply_to, ''), v_verdict ->> 'cause', p_now
            from tidegate.outbox o join tidegate.triggers t on t.id = o.trigger_id
            where o.id = v_id;
        when 'handled', 'handler_failed' then
            update tidegate.dead_letters set resolution = v_kind
            where id = (select handles_letter_id from tidegate.outbox where id = v_id);
        else
            null;
    end case;
    if v_kind not in ('retry', 'deferred', 'dead') then
        delete from tidegate.outbox where id = v_id;
    end if;
end
$$;

-- What a claim gives: a delivery's row, and its trigger as it is now.
create type tidegate.exchanged as (
    kind               text,
    now                timestamptz,
    id                 bigint,
    lease              bigint,
    trigger_id         bigint,
    attempt            integer,
    due_at             timestamptz,
    max_attempts       integer,
    backoff            text,
    base_ms            bigint,
    max_ms             bigint,
    jitter             double precision,
    max_age_ms         bigint,
    timeout_ms         bigint,
    enqueued_at        timestamptz,
    redrive_generation integer,
    reply_to           text,
    handles_letter_id  bigint,
    event_id           uuid,
    source             text,
    type               text,
    subject            text,
    time               timestamptz,
    actor              text,
    root_id            uuid,
    parent_id          uuid,
    depth              integer,
    traceparent        text,
    data               json,
    app                text,
    trigger_name       text,
    trigger_version    bigint,
    handler_kind       text,
    handler_name       text,
    script_version     bigint,
    registered_by      text
);

-- How many rows of each lane may be claimed: as many as asked, and of a limited lane what its live leases leave. A
-- limited lane that another daemon is claiming right now gives nothing this time.
create function tidegate.lane_quotas(p_now timestamptz, p_lanes bigint[], p_quotas integer[]) returns integer[]
language plpgsql as $$
declare
    v_lane record;
    v_live integer;
begin
    for v_lane in
        select t.id, t.max_concurrency, array_position(p_lanes, t.id) as at
        from tidegate.triggers t
        where t.id = any (p_lanes) and t.max_concurrency is not null
        order by t.id
    loop
        -- 7232 is this program's number for these locks.
        if pg_try_advisory_xact_lock((7232::bigint << 40) | v_lane.id) then
            delete from tidegate.slots s
            where s.trigger_id = v_lane.id and not exists (
                select from tidegate.outbox o
                where o.id = s.delivery_id and o.lease = s.lease and o.lease_until > p_now);
            select count(*) into v_live from tidegate.slots s where s.trigger_id = v_lane.id;
            p_quotas[v_lane.at] := least(p_quotas[v_lane.at], greatest(v_lane.max_concurrency - v_live, 0));
        else
            p_quotas[v_lane.at] := 0;
        end if;
    end loop;
    return p_quotas;
end
$$;

-- Settles what is finished, then claims what is next. Plain successes, which are nearly all, come as two arrays and go
-- by one statement; the other settlements come as JSON, in order.
create function tidegate.exchange(
    p_done_ids bigint[], p_done_leases bigint[], p_settle jsonb, p_lanes bigint[], p_quotas integer[],
    p_floors timestamptz[], p_lease_us bigint, p_lost_message text
) returns setof tidegate.exchanged
language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_until timestamptz := v_now + make_interval(secs => p_lease_us / 1000000.0);
    v_item jsonb;
    v_result text;
    v_some bigint[];
    v_woken bigint[] := '{}';
    v_row tidegate.exchanged;
begin
    v_row.kind := 'now';
    v_row.now := v_now;
    return next v_row;

    if cardinality(p_done_ids) > 0 then
        v_row.kind := 'fenced';
        for v_row.id, v_row.lease in
            with sent as (
                select * from unnest(p_done_ids, p_done_leases) as s (id, lease)
            ), gone as (
                delete from tidegate.outbox o using sent s
                where o.id = s.id and o.lease = s.lease and o.lease_until > 'epoch'
                returning o.id, o.lease
            )
            select * from sent except all select * from gone
        loop
            return next v_row;
        end loop;
    end if;

    if p_settle is not null then
        perform tidegate.kv_lock(l.stripe) from (
            select distinct tidegate.kv_stripe(t.app, k ->> 0, k ->> 1) as stripe
            from jsonb_array_elements(p_settle) s
            join tidegate.outbox o on o.id = (s ->> 'id')::bigint
            join tidegate.triggers t on t.id = o.trigger_id
            cross join lateral jsonb_array_elements(
                coalesce(s #> '{verdict,effects,reads}', '[]') || coalesce(s #> '{verdict,effects,writes}', '[]')) k
            order by stripe) l;
        -- The locks may have been waited for: what is applied now happens now.
        v_now := clock_timestamp();
        for v_item in select * from jsonb_array_elements(p_settle) loop
            select s.result, s.woken into v_result, v_some from tidegate.settle(v_now, v_item) s;
            v_woken := v_woken || v_some;
            if v_result <> 'applied' then
                v_row.kind := v_result;
                v_row.id := (v_item ->> 'id')::bigint;
                v_row.lease := (v_item ->> 'lease')::bigint;
                return next v_row;
            end if;
        end loop;
        v_row.kind := 'woken';
        for v_row.trigger_id in select distinct w from unnest(v_woken) w order by w loop
            return next v_row;
        end loop;
    end if;

    if cardinality(p_lanes) > 0 then
        p_quotas := tidegate.lane_quotas(v_now, p_lanes, p_quotas);
        return query
        with asked as (
            select q.trigger_id, q.quota, q.floor, q.at
            from unnest(p_lanes, p_quotas, p_floors) with ordinality as q (trigger_id, quota, floor, at)
            join tidegate.triggers t on t.id = q.trigger_id
            where not t.paused or t.deleted_at is not null
        ), locked as materialized (
            -- Materialized, because the limits and the skipping must happen once and before the update.
            select l.id, a.at
            from asked a
            cross join lateral (
                select o.id from tidegate.outbox o
                where o.trigger_id = a.trigger_id and o.due_at >= a.floor and o.due_at <= v_now
                  and o.lease_until <= v_now
                order by o.due_at, o.id
                limit a.quota
                for update skip locked) l
        ), claimed as (
            update tidegate.outbox o set
                -- An expired lease's attempt was lost, unless it was a claim beyond the last attempt.
                failed = case when o.lease_until > 'epoch' and o.attempt <= o.max_attempts
                    then coalesce(o.failed, '[]') || jsonb_build_object(
                        'attempt', o.attempt, 'started_at', (extract(epoch from o.leased_at) * 1000000)::bigint,
                        'duration', null, 'error', 'lost', 'message', p_lost_message)
                    else o.failed end,
                lease = o.lease + 1,
                lease_until = v_until,
                leased_at = v_now,
                attempt = least(o.attempt + 1, o.max_attempts + 1)
            from locked l
            where o.id = l.id
            returning o.*, l.at
        ), slotted as (
            insert into tidegate.slots as s (trigger_id, delivery_id, lease)
            select c.trigger_id, c.id, c.lease
            from claimed c join tidegate.triggers t on t.id = c.trigger_id
            where t.max_concurrency is not null
            on conflict (trigger_id, delivery_id) do update set lease = excluded.lease
        )
        select
            'claimed', null::timestamptz, c.id, c.lease, c.trigger_id, c.attempt, c.due_at, c.max_attempts, c.backoff,
            c.base_ms, c.max_ms, c.jitter, c.max_age_ms, c.timeout_ms, c.enqueued_at, c.redrive_generation, c.reply_to,
            c.handles_letter_id, c.event_id, c.source, c.type, c.subject, c.time, c.actor, c.root_id, c.parent_id,
            c.depth, c.traceparent, c.data, t.app::text, t.name::text, t.version,
            case when t.deleted_at is null then t.handler_kind end,
            case when t.deleted_at is null then t.handler_name end,
            case when t.deleted_at is null then s.version end, t.registered_by
        from claimed c
        join tidegate.triggers t on t.id = c.trigger_id
        left join tidegate.scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
        order by c.at, c.due_at, c.id;
    end if;
end
$$;

-- Prolongs what is still held and answers what is not, after a first row with the time alone.
create function tidegate.renew(p_ids bigint[], p_leases bigint[], p_lease_us bigint)
returns table (now timestamptz, id bigint, lease bigint)
language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
begin
    return query select v_now, null::bigint, null::bigint;
    return query
    with held as (
        select * from unnest(p_ids, p_leases) as h (id, lease)
    ), valid as materialized (
        -- In the order of ids, so that two daemons that disagree do not wait for each other in a circle.
        select o.id, o.lease from held h join tidegate.outbox o on o.id = h.id
        where o.lease = h.lease and o.lease_until > 'epoch'
        order by o.id
        for update of o
    ), renewed as (
        update tidegate.outbox o set lease_until = v_now + make_interval(secs => p_lease_us / 1000000.0)
        from valid v where o.id = v.id
        returning o.id, o.lease
    )
    select v_now, h.id, h.lease from held h
    where not exists (select from renewed r where r.id = h.id and r.lease = h.lease);
end
$$;

-- The lanes that have a row to claim now or later, each with its first one, and the schedules that are due, after a
-- first row with the time alone. The recursion jumps from trigger to trigger over the index, so it costs by the number
-- of lanes and not by the number of rows.
create function tidegate.discover()
returns table (
    now timestamptz, trigger_id bigint, next_due timestamptz, max_concurrency integer, expression text, time_zone text,
    next_tick timestamptz)
language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
begin
    return query select
        v_now, null::bigint, null::timestamptz, null::integer, null::text, null::text, null::timestamptz;
    return query
    with recursive lanes (id) as (
        (select o.trigger_id from tidegate.outbox o order by o.trigger_id limit 1)
        union all
        select (select o.trigger_id from tidegate.outbox o where o.trigger_id > l.id order by o.trigger_id limit 1)
        from lanes l where l.id is not null
    )
    select v_now, t.id, first.due_at, t.max_concurrency, null::text, null::text, null::timestamptz
    from lanes l
    join tidegate.triggers t on t.id = l.id and (not t.paused or t.deleted_at is not null)
    cross join lateral (
        select o.due_at from tidegate.outbox o
        where o.trigger_id = l.id and o.lease_until <= v_now
        order by o.due_at, o.id
        limit 1) first
    order by t.id;
    return query
    select
        v_now, t.id, null::timestamptz, null::integer, t.spec #>> '{match,expression}',
        coalesce(t.spec #>> '{match,time_zone}', 'UTC'), t.next_tick
    from tidegate.triggers t
    where t.source = 'cron' and t.deleted_at is null and t.enabled
      and (t.next_tick is null or t.next_tick <= v_now)
    order by t.id;
end
$$;

-- Lets cron triggers tick, and answers which of them got a row, after a first row with the time alone. Of several that
-- saw the same tick, one finds it here.
create function tidegate.tick(p_triggers bigint[], p_expected timestamptz[], p_next timestamptz[], p_data text[])
returns table (now timestamptz, trigger_id bigint)
language plpgsql as $$
declare
    v_now timestamptz := clock_timestamp();
    v_tick record;
    v_trigger record;
    v_id uuid;
begin
    return query select v_now, null::bigint;
    for v_tick in select * from unnest(p_triggers, p_expected, p_next, p_data) as t (id, expected, next, data) loop
        update tidegate.triggers t set next_tick = v_tick.next
        where t.id = v_tick.id and t.next_tick is not distinct from v_tick.expected
          and t.source = 'cron' and t.deleted_at is null and t.enabled
        returning t.app, t.name into v_trigger;
        if found and v_tick.expected is not null then
            v_id := tidegate.uuid_v7(v_now);
            return query select v_now, w from unnest(tidegate.fan_out(
                v_now, v_trigger.app, 'cron', v_id, 'cron.tick', v_trigger.name, v_tick.data::json, 'system', v_id,
                null, 0, null, v_tick.id)) w;
        end if;
    end loop;
end
$$;
