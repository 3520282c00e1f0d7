-- The dispatcher's other requests: renew leases, discover lanes, and fire the due ticks of cron
-- triggers.

-- Renews leases.
--
-- A claim is fenced if it is no longer valid. It is also fenced if its lease has expired and its
-- lane has a max_concurrency, because another row may have taken its slot. The clock is read after
-- the rows are locked, and a count of the slots regards an expired lease as live while its row is
-- locked (`slots_taken` in 0005). So no claim takes the slot of a lease that is being renewed.
--
-- Parameters: the deliveries; the leases; the new length of the leases.
-- Returns: first a row with the time alone, then the claims that are fenced.
-- Locks: the rows, in the order of their ids, as the exchange does.
-- Changes: outbox (a HOT update: the end of the lease is in no index).
create function tidegate.renew(p_ids bigint[], p_leases bigint[], p_lease_us bigint)
returns table (now timestamptz, id bigint, lease bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_held bigint[];
    v_leases bigint[];
    -- The time from which each claim is fenced.
    v_ends timestamptz[];
begin
    with valid as materialized (
        select o.id, o.lease, o.lease_until, o.trigger_id
        from (select * from unnest(p_ids, p_leases) h (id, lease) order by h.id) h
        cross join lateral (
            select o.id, o.lease, o.lease_until, o.trigger_id from tidegate.outbox o
            where o.id = h.id and o.lease = h.lease and o.lease_until > 'epoch'
            for update
        ) o
    )
    select
        array_agg(v.id), array_agg(v.lease),
        array_agg(case when t.max_concurrency is null then 'infinity' else v.lease_until end)
    into v_held, v_leases, v_ends
    from valid v
    cross join lateral (select t.max_concurrency from tidegate.triggers t where t.id = v.trigger_id limit 1) t;
    v_now := clock_timestamp();
    select array_agg(v.id), array_agg(v.lease) into v_held, v_leases
    from unnest(v_held, v_leases, v_ends) v (id, lease, ends)
    where v.ends > v_now;
    update tidegate.outbox o set lease_until = v_now + p_lease_us * interval '1 microsecond' where o.id = any (v_held);

    return query select v_now, null::bigint, null::bigint;
    return query
    select v_now, h.id, h.lease from unnest(p_ids, p_leases) h (id, lease)
    except all
    select v_now, v.id, v.lease from unnest(v_held, v_leases) v (id, lease);
end
$$;

-- Lists the lanes with rows to claim now or later, and the cron triggers that are due.
--
-- The recursion jumps from lane to lane in the index, so the cost grows with the number of lanes,
-- not of rows.
--
-- Parameters: none.
-- Returns: first a row with the time alone; then one row per lane, with the due time of its first
--   row; then one row per cron trigger.
-- Locks: none.
-- Changes: nothing.
create function tidegate.discover()
returns table (
    now timestamptz, trigger_id bigint, next_due timestamptz, max_concurrency integer, expression text, time_zone text,
    next_tick timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
begin
    return query select
        v_now, null::bigint, null::timestamptz, null::integer, null::text, null::text, null::timestamptz;
    return query
    with recursive lanes (id) as (
        (select o.trigger_id from tidegate.outbox o order by o.trigger_id, o.due_at, o.id + 0 limit 1)
        union all
        select (
            select o.trigger_id from tidegate.outbox o where o.trigger_id > l.id
            order by o.trigger_id, o.due_at, o.id + 0 limit 1)
        from lanes l where l.id is not null
    )
    select v_now, l.id, first.due_at, t.max_concurrency, null::text, null::text, null::timestamptz
    from lanes l
    cross join lateral (
        select t.max_concurrency from tidegate.triggers t
        where t.id = l.id and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'))
        limit 1
    ) t
    cross join lateral (
        select o.due_at from tidegate.outbox o
        where o.trigger_id = l.id and o.lease_until <= v_now
        order by o.due_at, o.id + 0
        limit 1
    ) first
    order by l.id;
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

-- Fires the due ticks of cron triggers. If several daemons send the same tick, it is fired once.
--
-- Parameters, one element per trigger, in rising order of ids: the trigger; its tick that is due,
--   or null if the trigger has none yet; its next tick; the data of the event.
-- Returns: first a row with the time alone, then the triggers that got a row.
-- Locks: the rows of the triggers, in the order of their ids.
-- Changes: triggers, outbox.
create function tidegate.tick(p_triggers bigint[], p_expected timestamptz[], p_next timestamptz[], p_data text[])
returns table (now timestamptz, trigger_id bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
    v_trigger record;
begin
    return query select v_now, null::bigint;
    for n in 1..cardinality(p_triggers) loop
        update tidegate.triggers t set next_tick = p_next[n]
        where t.id = p_triggers[n] and t.next_tick is not distinct from p_expected[n]
          and t.source = 'cron' and t.deleted_at is null and t.enabled
        returning t.app, t.name into v_trigger;
        if found and p_expected[n] is not null then
            return query select v_now, f.trigger_id from tidegate.fan_out(
                p_now => v_now, p_source => 'cron', p_only_trigger => p_triggers[n], p_events => array[row(
                    v_trigger.app, tidegate.uuid_v7(v_now), 'cron.tick', v_trigger.name, p_data[n]::json,
                    row('system', null, null, 0, null)::tidegate.cause)::tidegate.new_event]) f;
        end if;
    end loop;
end
$$;
