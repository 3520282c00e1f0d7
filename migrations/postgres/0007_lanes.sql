-- The dispatcher's other requests: discover lanes, and fire the due ticks of cron triggers.

-- The due time of the first free row in the index of each lane.
--
-- A lane is searched from its floor, and from five seconds ago if the floor is later: rows that
-- became visible behind the floor are that recent, except those of a long transaction. So now and
-- then the whole lane is searched, which walks over all its dead rows. After searches that took
-- long, the next ones are further away, so that they take at most 1 % of the time. A lane that was
-- not claimed from for some time is searched more rarely. A lane that was written after the time is
-- searched whole, because the clock was set back.
--
-- Parameters: the time.
-- Returns: one row per lane with a free row.
-- Locks: the lanes that are searched whole; it skips locked ones.
-- Changes: lanes.
create function tidegate.first_rows(p_now timestamptz) returns table (lane bigint, due_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    v_whole bigint[];
begin
    return query
    select k.trigger_id, f.due_at
    from tidegate.lanes k
    cross join lateral (
        select o.due_at from tidegate.outbox o
        where o.waits and o.trigger_id = k.trigger_id and o.due_at >= case
                when k.next_walk <= p_now or k.written_at > p_now then '-infinity'
                else least(k.floor_due, p_now - interval '5 seconds') end
          and (o.id, o.turn) not in (
              select l.id, coalesce(l.turn, 0)
              from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
              where c.claim >= (select f.oldest_claim from tidegate.claims_floor f))
        order by o.due_at, o.id + 0
        limit 1
    ) f;
    v_whole := array(
        select k.trigger_id from tidegate.lanes k
        where (k.next_walk <= p_now or k.written_at > p_now) and k.floor_due > '-infinity'
        order by k.trigger_id for update skip locked);
    if cardinality(v_whole) > 0 then
        update tidegate.lanes k set
            written_at = least(k.written_at, p_now),
            next_walk = p_now + greatest(
                interval '2 seconds', 100 * (clock_timestamp() - p_now), 0.1 * (p_now - k.floor_due))
        where k.trigger_id = any (v_whole);
    end if;
end
$$;

-- The due time of the first row of expired claims, by lane.
--
-- Now and then the function looks at all claims: then a claim is found too whose lease ended before
-- the place where the search begins, because the clock was set back.
--
-- Parameters: the time.
-- Returns: one row per lane.
-- Locks: claims_floor.
-- Changes: claims_floor.
create function tidegate.expired_rows(p_now timestamptz) returns table (lane bigint, due_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    v_looks_at_all boolean := (select f.next_walk <= p_now or f.lease_until > p_now from tidegate.claims_floor f);
    v_began timestamptz := clock_timestamp();
begin
    perform tidegate.raise_claims_floor(p_now => p_now, p_looks_at_all => v_looks_at_all);
    if v_looks_at_all then
        update tidegate.claims_floor set next_walk =
            p_now + greatest(interval '10 seconds', 100 * (clock_timestamp() - v_began));
    end if;
    return query
    select c.trigger_id, min(o.due_at)
    from tidegate.claims c
    cross join lateral unnest(c.ids, c.turns) l (id, turn)
    join tidegate.outbox o on o.id = any (array[l.id]) and o.turn = coalesce(l.turn, 0)
    where c.lease_until >= (select f.lease_until from tidegate.claims_floor f) and c.lease_until <= p_now
    group by c.trigger_id;
end
$$;

-- The lanes with an expired claim, and the open lanes with a suspect.
--
-- Parameters: the time.
-- Returns: one row per lane, with the due time of its first such row, in the order of triggers.
-- Locks: those of `expired_rows`.
-- Changes: claims_floor.
create function tidegate.suspect_lanes(p_now timestamptz) returns table (lane bigint, due_at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
    return query
    select f.lane, min(f.due_at)
    from (
        select r.lane, r.due_at from tidegate.expired_rows(p_now => p_now) r
        union all
        select t.id, s.due_at
        from tidegate.triggers t
        cross join lateral (
            select o.due_at from tidegate.outbox o
            where o.suspect and o.trigger_id = t.id
            order by o.due_at, o.id + 0
            limit 1
        ) s
        where not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke')
    ) f
    group by f.lane
    order by f.lane;
end
$$;

-- Lists the lanes with rows to claim now or later, the lanes with suspects, and the cron triggers
-- that are due.
--
-- Parameters: none.
-- Returns: first a row with the time alone; then one row per lane, with the due time of its first
--   row; then one row per lane with suspects; then one row per cron trigger.
-- Locks: those of `first_rows` and `suspect_lanes`.
-- Changes: lanes, claims_floor.
create function tidegate.discover()
returns table (
    now timestamptz, trigger_id bigint, next_due timestamptz, max_concurrency integer, suspect_due timestamptz,
    expression text, time_zone text, next_tick timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    v_now timestamptz := clock_timestamp();
begin
    return query select
        v_now, null::bigint, null::timestamptz, null::integer, null::timestamptz, null::text, null::text,
        null::timestamptz;
    return query
    select v_now, t.id, found.due_at, t.max_concurrency, null::timestamptz, null::text, null::text, null::timestamptz
    from tidegate.first_rows(p_now => v_now) found
    cross join lateral (
        select * from tidegate.triggers t
        where t.id = found.lane and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'))
        limit 1
    ) t
    order by t.id;
    return query
    select v_now, s.lane, null::timestamptz, null::integer, s.due_at, null::text, null::text, null::timestamptz
    from tidegate.suspect_lanes(p_now => v_now) s;
    return query
    select
        v_now, t.id, null::timestamptz, null::integer, null::timestamptz, t.spec #>> '{match,expression}',
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
