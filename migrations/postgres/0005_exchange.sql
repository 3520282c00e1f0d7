-- The exchange: one call settles finished deliveries and claims new ones, in one round trip and one
-- commit.
--
-- The rules for locks and for statements are at the top of 0004.

-- One row of an exchange's answer. `kind` determines which columns are set: see
-- `tidegate.exchange`.
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
    base_ms            integer,
    max_ms             integer,
    jitter             real,
    max_age_ms         bigint,
    timeout_ms         integer,
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
    registered_by      text,
    standing           text
);

-- Counts the slots of a lane with a max_concurrency that are in use, and removes stale slots first.
--
-- A slot is stale if its delivery has another lease now, or if the delivery was executed and only
-- its reply is not delivered yet. An expired lease does not count, but its slot stays, because a
-- renewal can extend the lease while the trigger has no limit. An expired lease counts while
-- another transaction holds the lock of its row. That transaction may be a renewal that read the
-- clock before the lease expired.
--
-- Parameters: the time; the lane.
-- Returns: the number of slots in use.
-- Locks: the rows with expired leases, so that no renewal extends such a lease after the count. It
--   skips locked rows. The caller holds the lane's lock.
-- Changes: deletes from slots.
create function tidegate.slots_taken(p_now timestamptz, p_trigger bigint) returns integer
language plpgsql as $$
begin
    delete from tidegate.slots s
    where s.trigger_id = p_trigger and not exists (
        select from tidegate.outbox o
        where o.id = s.delivery_id and o.lease = s.lease and o.lease_until > 'epoch' and o.executed is null offset 0);
    return (
        select count(*) - count(expired.id)
        from tidegate.slots s
        left join lateral (
            select o.id from tidegate.outbox o
            where o.id = s.delivery_id and o.lease_until <= p_now
            for update skip locked
        ) expired on true
        where s.trigger_id = p_trigger);
end
$$;

-- Lowers the quotas of lanes with a max_concurrency to the number of their free slots.
--
-- If another daemon holds the lock of such a lane, the quota becomes 0 for this claim. So no claim
-- waits, and two claims never take the same last slot. Leases from before the lane had a limit have
-- no slot and are not counted.
--
-- Parameters: the time; the lanes; their quotas.
-- Returns: the new quotas.
-- Locks: the advisory locks of the lanes with a limit, until the end of the transaction; it does
--   not wait for them.
-- Changes: deletes stale rows from slots.
create function tidegate.lane_quotas(p_now timestamptz, p_lanes bigint[], p_quotas integer[]) returns integer[]
language plpgsql as $$
declare
    v_lane record;
    v_live integer;
begin
    for v_lane in
        select t.id, t.max_concurrency, l.at
        from unnest(p_lanes) with ordinality l (id, at) join tidegate.triggers t on t.id = any (array[l.id])
        where t.max_concurrency is not null
    loop
        -- 7232 is Tidegate's number for these locks.
        if pg_try_advisory_xact_lock((7232::bigint << 40) | v_lane.id) then
            v_live := tidegate.slots_taken(p_now, v_lane.id);
            p_quotas[v_lane.at] := least(p_quotas[v_lane.at], greatest(v_lane.max_concurrency - v_live, 0));
        else
            p_quotas[v_lane.at] := 0;
        end if;
    end loop;
    return p_quotas;
end
$$;

-- Settles finished deliveries, then claims new ones.
--
-- Two groups of settlements are applied by one statement each: plain successes, which are nearly
-- all settlements, and sync executions that only store their outcome. They are passed as arrays in
-- rising order of ids. All other settlements are passed as JSON, and `tidegate.settle` applies them
-- one by one, in order.
--
-- Parameters: the message of a lost attempt; the length of the lease; the plain successes; the sync
--   executions with their outcomes; the other settlements, or null; the lanes to claim from, with
--   the quota and the floor of each.
-- Returns: rows of these kinds. 'fenced' and 'conflicted': `id` and `lease` of settlements that
--   were not applied. 'woken': the `trigger_id` of lanes that got rows. 'now': the store's time, in
--   one row. 'lane': the trigger of each requested lane that exists. 'claimed': the claimed rows;
--   the columns of their lane are null. Claimed rows come lane after lane, in the order of due
--   time. A row that changes while it is claimed may break that order, so a caller that needs it
--   must sort.
-- Locks: in the order given in 0004. The claim skips locked rows.
-- Changes: outbox, slots, and the tables of `tidegate.settle`.
create function tidegate.exchange(
    p_lost_message text, p_lease_us bigint, p_done_ids bigint[], p_done_leases bigint[], p_executed_ids bigint[],
    p_executed_leases bigint[], p_outcomes jsonb[], p_settle jsonb, p_lanes bigint[], p_quotas integer[],
    p_floors timestamptz[]
) returns setof tidegate.exchanged
language plpgsql as $$
declare
    v_now timestamptz;
    v_item jsonb;
    v_one record;
    v_kept bigint[] := '{}';
    v_gone bigint[] := '{}';
    v_woken bigint[] := '{}';
    v_looped tidegate.loops[] := '{}';
    v_lane record;
    -- One flag per requested lane. The flag of a lane without a trigger stays false.
    v_open boolean[] := array_fill(false, array[cardinality(p_lanes)]);
    v_limited boolean[] := v_open;
    v_row tidegate.exchanged;
begin
    if p_settle is not null then
        perform tidegate.lock_settled(p_done_ids || p_executed_ids, p_settle);
    elsif cardinality(p_done_ids) > 0 and cardinality(p_executed_ids) > 0 then
        -- With only one of the two arrays, the statement for it below takes the locks in order.
        perform from (select s.id from unnest(p_done_ids || p_executed_ids) s (id) order by s.id offset 0) s
        cross join lateral (select from tidegate.outbox o where o.id = s.id for update) o;
    end if;
    -- The clock is read after the locks are held, so the time is not before the changes that the
    -- locks waited for.
    v_now := clock_timestamp();

    if cardinality(p_done_ids) > 0 then
        with gone as (
            delete from tidegate.outbox o using unnest(p_done_ids, p_done_leases) s (id, lease)
            where o.id = any (array[s.id]) and o.lease = s.lease and o.lease_until > 'epoch'
            returning o.id
        )
        select coalesce(array_agg(gone.id), '{}') into v_gone from gone;
    end if;
    if cardinality(p_executed_ids) > 0 then
        -- A HOT update: `executed` is in no index. An outcome that is already stored is not
        -- changed: the dispatcher did not get the first answer and has sent the settlement again.
        with kept as (
            update tidegate.outbox o set executed = coalesce(o.executed, s.outcome)
            from unnest(p_executed_ids, p_executed_leases, p_outcomes) s (id, lease, outcome)
            where o.id = any (array[s.id]) and o.lease = s.lease and o.lease_until > 'epoch'
            returning o.id
        )
        select coalesce(array_agg(kept.id), '{}') into v_kept from kept;
    end if;
    if cardinality(v_gone) + cardinality(v_kept) < cardinality(p_done_ids) + cardinality(p_executed_ids) then
        v_row.kind := 'fenced';
        for v_row.id, v_row.lease in
            select s.id, s.lease
            from unnest(p_done_ids || p_executed_ids, p_done_leases || p_executed_leases) s (id, lease)
            where s.id <> all (v_gone) and s.id <> all (v_kept)
        loop
            return next v_row;
        end loop;
    end if;

    if p_settle is not null then
        for v_item in select * from jsonb_array_elements(p_settle) loop
            v_one := tidegate.settle(v_now, v_item);
            v_woken := v_woken || v_one.woken;
            if v_one.looped is not null then
                v_looped := v_looped || v_one.looped;
            end if;
            if v_one.result <> 'applied' then
                v_row.kind := v_one.result;
                v_row.id := (v_item ->> 'id')::bigint;
                v_row.lease := (v_item ->> 'lease')::bigint;
                return next v_row;
            end if;
        end loop;
        if cardinality(v_looped) > 0 then
            perform tidegate.count_loops(v_looped);
        end if;
        v_row := null;
        v_row.kind := 'woken';
        for v_row.trigger_id in select distinct w from unnest(v_woken) w loop
            return next v_row;
        end loop;
    end if;

    v_row := null;
    v_row.kind := 'now';
    v_row.now := v_now;
    return next v_row;

    v_row := null;
    v_row.kind := 'lane';
    for v_lane in
        select l.at, t.*, tidegate.standing(t.registered_by, t.app) as standing, s.version as script_version
        from unnest(p_lanes) with ordinality l (id, at)
        cross join lateral (select * from tidegate.triggers t where t.id = l.id limit 1) t
        left join lateral (
            select version from tidegate.scripts where app = t.app and name = t.handler_name limit 1
        ) s on t.handler_kind = 'script'
        order by l.at
    loop
        -- A pause does not close the lane of a deleted trigger, whose rows must become dead
        -- letters, or a lane of sync calls, whose unleased rows must be recorded as abandoned.
        v_open[v_lane.at] := not v_lane.paused or v_lane.deleted_at is not null or v_lane.source in ('http', 'invoke');
        v_limited[v_lane.at] := v_lane.max_concurrency is not null;
        v_row.trigger_id := v_lane.id;
        v_row.app := v_lane.app;
        v_row.trigger_name := v_lane.name;
        v_row.trigger_version := v_lane.version;
        v_row.handler_kind := case when v_lane.deleted_at is null then v_lane.handler_kind end;
        v_row.handler_name := case when v_lane.deleted_at is null then v_lane.handler_name end;
        v_row.script_version := case when v_lane.deleted_at is null then v_lane.script_version end;
        v_row.registered_by := v_lane.registered_by;
        v_row.standing := v_lane.standing;
        return next v_row;
    end loop;
    if true <> all (v_open) then
        return;
    end if;
    if true = any (v_limited) then
        p_quotas := tidegate.lane_quotas(v_now, p_lanes, p_quotas);
    end if;
    return query
    with locked as materialized (
        -- Materialized, so that the limits and the skipping are evaluated once, before the update.
        -- A `limit … for update` that runs again for each row would lock, and then lease, more rows
        -- than the quota. The update finds the rows by their ctid, which cannot change while the
        -- row is locked.
        select l.place, l.id, l.lease, q.trigger_id, q.limited
        from unnest(p_lanes, p_quotas, p_floors, v_open, v_limited) q (trigger_id, quota, floor, open, limited)
        cross join lateral (
            select o.ctid as place, o.id, o.lease from tidegate.outbox o
            where q.open
              and o.trigger_id = q.trigger_id and o.due_at >= q.floor and o.due_at <= v_now and o.lease_until <= v_now
            order by o.due_at, o.id + 0
            limit q.quota
            for update skip locked
        ) l
    ), slotted as (
        -- The rows are locked, so the number of the next lease is known.
        insert into tidegate.slots as s (trigger_id, delivery_id, lease)
        select l.trigger_id, l.id, l.lease + 1 from locked l where l.limited
        on conflict (trigger_id, delivery_id) do update set lease = excluded.lease
    )
    update tidegate.outbox o set
        lease = o.lease + 1,
        lease_until = v_now + p_lease_us * interval '1 microsecond',
        leased_at = v_now,
        attempt = least(o.attempt + 1, o.max_attempts + 1),
        -- An expired lease means a lost attempt, unless its claim came after the last allowed
        -- attempt.
        failed = case when o.lease_until > 'epoch' and o.attempt <= o.max_attempts
            then coalesce(o.failed, '[]') || jsonb_build_object(
                'attempt', o.attempt, 'started_at', (extract(epoch from o.leased_at) * 1000000)::bigint,
                'duration', null, 'error', 'lost', 'message', p_lost_message)
            else o.failed end
    from locked l
    where o.ctid = l.place
    returning
        'claimed', null::timestamptz, o.id, o.lease, o.trigger_id, o.attempt, o.due_at, o.max_attempts, o.backoff,
        o.base_ms, o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms, o.enqueued_at, o.redrive_generation, o.reply_to,
        o.handles_letter_id, o.event_id, o.source, o.type, o.subject, o.time, o.actor, o.root_id, o.parent_id, o.depth,
        o.traceparent, o.data, null::text, null::text, null::bigint, null::text, null::text, null::bigint, null::text,
        null::text;
end
$$;

-- Claims rows of the lanes that the same transaction has just written to: an inline claim. It may
-- take a row of a concurrent transaction instead of its own. The number of rows is the same.
--
-- It is the SQL form of `InlineRoom::quotas` in core/src/room.rs, and the two must stay equal. A
-- closed lane gets no quota. An open lane gets at most as many rows as were written to it. All
-- lanes together get at most `p_rows_max` rows, in the order of their ids. The floor is the start
-- of the statement, so the claim takes no row that was due before.
--
-- The claim itself is an exchange that settles nothing, so pauses and limits hold as for any other
-- claim.
--
-- Parameters: the lanes of the rows just written, one entry per row; the most rows to claim; the
--   closed lanes; the length of the lease; the message of a lost attempt.
-- Returns: the rows of `tidegate.exchange`, or no row if no lane gets a quota.
-- Locks and changes: those of `tidegate.exchange`.
create function tidegate.claim_written(
    p_written bigint[], p_rows_max integer, p_closed_lanes bigint[], p_lease_us bigint, p_lost_message text
) returns setof tidegate.exchanged
language plpgsql as $$
declare
    v_lanes bigint[];
    v_quotas integer[];
begin
    -- The first `p_rows_max` entries in the order of the lanes: a lane's quota is the number of its
    -- entries among them.
    select array_agg(q.lane), array_agg(q.rows) into v_lanes, v_quotas
    from (
        select w.lane, count(*)::integer as rows
        from (
            select w.lane from unnest(p_written) w (lane)
            where w.lane <> all (p_closed_lanes)
            order by w.lane
            limit p_rows_max
        ) w
        group by w.lane
        order by w.lane
    ) q;
    if v_lanes is null then
        return;
    end if;
    return query
    select c.* from tidegate.exchange(
        p_lost_message => p_lost_message, p_lease_us => p_lease_us, p_done_ids => '{}', p_done_leases => '{}',
        p_executed_ids => '{}', p_executed_leases => '{}', p_outcomes => '{}', p_settle => null, p_lanes => v_lanes,
        p_quotas => v_quotas, p_floors => array_fill(statement_timestamp(), array[cardinality(v_lanes)])) c;
end
$$;
