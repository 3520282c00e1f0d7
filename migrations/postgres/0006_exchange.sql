-- The exchange: one call settles finished deliveries and claims new ones, in one round trip and one
-- commit.
--
-- The rules for locks and for statements are at the top of 0004.

-- One row of an exchange's answer. `kind` determines which columns are set.
--
-- 'fenced', 'conflicted': the `id` and `claim` of a settlement that was not applied.
-- 'woken': the `id` of a lane that got rows.
-- 'now': the store's time, in `due_at`. If there are two, the first is the time of the settlements.
-- 'lane': a `claim`, the `id` of its trigger, and the trigger's state as JSON in `more`.
-- 'policy': a `policy_id` and the policy as JSON in `more`.
-- 'cut': the bytes ended the claims of the lanes.
-- 'suspects': the `claim` of the claimed suspects.
-- 'claimed': a claimed row. `more` has rare fields as JSON, or is null.
create type tidegate.exchanged as (
    kind        text,
    id          bigint,
    claim       bigint,
    attempt     integer,
    due_at      timestamptz,
    enqueued_at timestamptz,
    policy_id   integer,
    timeout_ms  integer,
    event_id    uuid,
    event       text,
    data        json,
    more        json
);

-- Settles the deliveries that are passed as JSON, one by one, in order.
--
-- Parameters: the time; the settlements.
-- Returns: the rows of the answer; the claims of rows that left.
-- Locks: rows of loops, and those that `lock_settled` has taken.
-- Changes: outbox, and the tables of `tidegate.settle`.
create function tidegate.settle_each(
    p_now timestamptz, p_others jsonb, out answer tidegate.exchanged[], out left_claims bigint[]
)
language plpgsql as $$
declare
    v_item jsonb;
    v_one record;
    v_row tidegate.exchanged;
    v_woken bigint[] := '{}';
    v_looped tidegate.loops[] := '{}';
begin
    left_claims := '{}';
    for v_item in select * from jsonb_array_elements(p_others) loop
        v_one := tidegate.settle(p_now => p_now, p_settlement => v_item);
        v_row.id := (v_item ->> 'id')::bigint;
        v_row.claim := (v_item ->> 'lease')::bigint;
        v_woken := v_woken || v_one.woken;
        if v_one.looped is not null then
            v_looped := v_looped || v_one.looped;
        end if;
        if v_one.has_left then
            left_claims := left_claims || v_row.claim;
        end if;
        if v_one.result <> 'applied' then
            v_row.kind := v_one.result;
            answer := answer || v_row;
        end if;
    end loop;
    if cardinality(v_looped) > 0 then
        perform tidegate.count_loops(v_looped);
    end if;
    v_row := null;
    v_row.kind := 'woken';
    for v_row.id in select distinct w from unnest(v_woken) w loop
        answer := answer || v_row;
    end loop;
end
$$;

-- Settles all deliveries of an exchange.
--
-- Parameters: the settlements.
-- Returns: rows of the kinds 'fenced', 'conflicted', 'woken', and 'now' if a settlement needs the
--   time; the floors that ended claims have kept.
-- Locks: in the order given in 0004, down to the claims.
-- Changes: outbox, claims, and the tables of `tidegate.settle`.
create function tidegate.settle_all(
    p_settle tidegate.settlements, out answer tidegate.exchanged[], out floors tidegate.floors
)
language plpgsql as $$
declare
    v_ids constant bigint[] := (p_settle).done_ids || (p_settle).call_ids;
    v_claims constant bigint[] := (p_settle).done_claims || (p_settle).call_claims;
    v_some record;
    v_row tidegate.exchanged;
    v_left bigint[] := '{}';
    v_valid bigint[] := '{}';
begin
    if (p_settle).others is not null then
        perform tidegate.lock_settled(p_done_ids => v_ids, p_settle => (p_settle).others);
    elsif cardinality((p_settle).done_ids) > 0 and cardinality((p_settle).call_ids) > 0 then
        -- With only one of the two arrays, the statement for it takes the locks in order.
        perform from tidegate.outbox o where o.id = any (v_ids) order by o.ctid for update;
    end if;
    if cardinality((p_settle).done_ids) > 0 then
        v_some := tidegate.settle_done(p_ids => (p_settle).done_ids, p_claims => (p_settle).done_claims);
        v_left := v_some.left_claims;
        v_valid := v_some.ids;
    end if;
    if cardinality((p_settle).call_ids) > 0 then
        v_some := tidegate.settle_calls(
            p_ids => (p_settle).call_ids, p_claims => (p_settle).call_claims, p_outcomes => (p_settle).outcomes);
        v_left := v_left || v_some.left_claims;
        v_valid := v_valid || v_some.ids;
    end if;
    if cardinality(v_valid) < cardinality(v_ids) then
        v_row.kind := 'fenced';
        for v_row.id, v_row.claim in
            select s.id, s.claim from unnest(v_ids, v_claims) s (id, claim) where s.id <> all (v_valid)
        loop
            answer := answer || v_row;
        end loop;
    end if;
    if (p_settle).others is not null then
        -- The clock is read after the locks are held, so the time is not before the changes that
        -- the locks waited for.
        v_row := row('now', null, null, null, clock_timestamp(), null, null, null, null, null, null, null);
        v_some := tidegate.settle_each(p_now => v_row.due_at, p_others => (p_settle).others);
        answer := answer || v_row || v_some.answer;
        v_left := v_left || v_some.left_claims;
    end if;
    if cardinality(v_left) > 0 then
        floors := tidegate.leave_claims(p_left => v_left);
    end if;
end
$$;

-- The lanes to claim from, in parallel arrays.
create type tidegate.claim_request as (
    lanes               bigint[],
    -- The most rows to claim from each lane.
    quotas              integer[],
    -- The first of these rows, which the daemon starts at once.
    starts              integer[],
    -- The due time from which each lane is searched for stragglers.
    look_backs          timestamptz[],
    lease_us            bigint,
    -- The most bytes of data of the rows of all lanes, and of the suspects.
    bytes_max           bigint,
    -- The lane to claim suspects from, the most of them, and the wait after a first loss. Null:
    -- none.
    suspect_lane        bigint,
    suspect_quota       integer,
    backoff_us          bigint,
    -- The messages of an attempt that was lost, and of one that never began.
    lost_message        text,
    never_began_message text
);

-- The open lanes of a request, in parallel arrays.
create type tidegate.opened_lanes as (
    now        timestamptz,
    lanes      bigint[],
    quotas     integer[],
    starts     integer[],
    look_backs timestamptz[],
    -- The floor of each lane.
    dues       timestamptz[],
    ids        bigint[],
    -- The number of each lane's next claim, and of its oldest one.
    numbers    bigint[],
    oldests    bigint[],
    -- The least of the oldest claims.
    oldest     bigint,
    -- Whether the bytes ended the claims, so that lanes have more rows.
    is_cut     boolean
);

-- Keeps the lanes of a request that are open, and lowers the quotas of lanes with a max_concurrency
-- to their free slots. Then takes the number for a claim of each lane.
--
-- A pause does not close the lane of a deleted trigger, whose rows must become dead letters, or a
-- lane of sync calls, whose lost rows must be recorded as abandoned.
--
-- Parameters: the request; floors that claims have kept which this transaction has deleted.
-- Returns: the open lanes. All arrays are null if no lane is open.
-- Locks: the lanes, and the lane of the suspects.
-- Changes: claims, lanes.
create function tidegate.open_lanes(p_claim tidegate.claim_request, p_floors tidegate.floors)
returns tidegate.opened_lanes
language plpgsql as $$
declare
    v_open tidegate.opened_lanes;
    v_limits integer[];
begin
    select
        array_agg(l.id order by l.at), array_agg(l.quota order by l.at), array_agg(l.starts order by l.at),
        array_agg(l.look_back order by l.at), array_agg(t.max_concurrency order by l.at)
    into v_open.lanes, v_open.quotas, v_open.starts, v_open.look_backs, v_limits
    from unnest((p_claim).lanes, (p_claim).quotas, (p_claim).starts, (p_claim).look_backs)
        with ordinality l (id, quota, starts, look_back, at)
    cross join lateral (
        select * from tidegate.triggers t
        where t.id = l.id and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'))
        limit 1
    ) t
    cross join lateral (select from tidegate.lanes k where k.trigger_id = l.id limit 1) k;
    perform tidegate.lock_lanes(p_lanes => v_open.lanes || (p_claim).suspect_lane);
    -- The clock is read after the lanes are locked, so that no lease is shorter than requested.
    v_open.now := clock_timestamp();
    if v_open.lanes is null then
        return v_open;
    end if;
    for n in 1..cardinality(v_limits) loop
        -- Not in the statement below: there the planner may share one number among several lanes.
        v_open.numbers[n] := tidegate.claim_number();
        if v_limits[n] is not null then
            v_open.quotas[n] := least(v_open.quotas[n], tidegate.free_slots(
                p_now => v_open.now, p_lane => v_open.lanes[n], p_limit => v_limits[n]));
        end if;
    end loop;
    with live as materialized (
        select c.claim, c.trigger_id as lane, c.floor_due as due, c.floor_id as id
        from tidegate.claims c
        where c.trigger_id = any (v_open.lanes)
          and c.claim >= (select min(k.oldest_claim) from tidegate.lanes k where k.trigger_id = any (v_open.lanes))
    )
    select
        array_agg(least(l.look_back, k.search_due) order by l.at),
        array_agg(f.due order by l.at), array_agg(f.id order by l.at), array_agg(n.number order by l.at),
        array_agg(coalesce(o.claim, n.number) order by l.at), min(coalesce(o.claim, n.number))
    into v_open.look_backs, v_open.dues, v_open.ids, v_open.numbers, v_open.oldests, v_open.oldest
    from unnest(v_open.lanes, v_open.look_backs, v_open.numbers) with ordinality l (id, look_back, number, at)
    cross join lateral (select * from tidegate.lanes k where k.trigger_id = l.id limit 1) k
    left join lateral (
        select min(live.claim) as claim, max(live.claim) as newest from live where live.lane = l.id
    ) o on true
    cross join lateral (select greatest(k.oldest_claim, o.newest) as number offset 0) earlier
    cross join lateral (
        select case when l.number > earlier.number then l.number else tidegate.number_above(p_claim => earlier.number) end
            as number
        offset 0
    ) n
    cross join lateral (
        select k.floor_due as due, k.floor_id as id
        union all select live.due, live.id from live where live.lane = l.id
        union all
        select e.due, e.id from unnest((p_floors).lanes, (p_floors).dues, (p_floors).ids) e (lane, due, id)
        where e.lane = l.id
        order by due desc, id desc limit 1
    ) f;
    return v_open;
end
$$;

-- The free rows of a lane, in the order of claims: first the stragglers, which are rows that became
-- visible after the lane's floor had passed them, then the rows above the floor.
--
-- A row above the floor is never claimed, so the second part checks no claims. The hash table of
-- claimed rows is built only if the first part finds a row. Postgres inlines the function. The size
-- of the data is read from the row alone.
--
-- Parameters: the lane; the due time to look back to; the floor; the most rows; all lanes of the
--   exchange.
-- Returns: the rows. `stored` is the size of the data, or null if they are compressed.
-- Locks: none.
-- Changes: nothing.
create function tidegate.free_rows(
    p_lane bigint, p_look_back timestamptz, p_floor_due timestamptz, p_floor_id bigint, p_quota integer,
    p_open tidegate.opened_lanes
) returns table (place tid, id bigint, turn integer, due_at timestamptz, policy_id integer, stored integer)
language sql stable as $$
    (
        select o.ctid, o.id, o.turn, o.due_at, o.policy_id,
            case when pg_column_compression(o.data) is null then pg_column_size(o.data) end
        from tidegate.outbox o
        where o.waits and o.trigger_id = p_lane and o.due_at >= p_look_back and o.due_at <= p_floor_due and o.due_at <= (p_open).now
          and (o.due_at, o.id + 0) <= (p_floor_due, p_floor_id)
          and (o.id, o.turn) not in (
              select l.id, coalesce(l.turn, 0)
              from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
              where c.claim >= (p_open).oldest and c.trigger_id = any ((p_open).lanes))
        order by o.due_at, o.id + 0
        limit p_quota
    ) union all (
        select o.ctid, o.id, o.turn, o.due_at, o.policy_id,
            case when pg_column_compression(o.data) is null then pg_column_size(o.data) end
        from tidegate.outbox o
        where o.waits and o.trigger_id = p_lane and o.due_at >= p_floor_due and o.due_at <= (p_open).now
          and (o.due_at, o.id + 0) > (p_floor_due, p_floor_id)
        order by o.due_at, o.id + 0
        limit p_quota
    )
    limit p_quota
$$;

-- Locks the expired claims of lanes.
--
-- `c.claim + 0` leaves the planner no index but `claims_expiry`. By the primary key it would walk
-- over all dead claims that a long transaction keeps.
--
-- Parameters: the time; the lanes.
-- Returns: the claims. A claim that another transaction has locked is skipped: it is being settled
--   or renewed.
-- Locks: the claims.
-- Changes: claims_floor, every two seconds.
create function tidegate.expired_claims(p_now timestamptz, p_lanes bigint[]) returns bigint[]
language plpgsql as $$
declare
    -- A floor after the time was written before the clock was set back.
    v_floor constant timestamptz := (
        select case when f.lease_until > p_now then '-infinity' else f.lease_until end from tidegate.claims_floor f);
begin
    if v_floor < p_now - interval '2 seconds' then
        perform tidegate.raise_claims_floor(p_now => p_now);
    end if;
    return array(
        select c.claim from tidegate.claims c
        where c.lease_until >= v_floor and c.lease_until <= p_now and c.trigger_id = any (p_lanes)
        order by c.claim + 0 for update skip locked);
end
$$;

-- Ends the expired claims of a lane: their rows go back as suspects. The attempt of a row that was
-- to start at once is recorded as lost; so is that of any row that permits one loss. That of any
-- other row that was held ahead is recorded as one that never began. A row with its last permitted
-- loss was not claimed to be executed, so nothing is recorded.
--
-- A claim or a row that another transaction has locked is skipped: it is being settled or renewed.
--
-- Parameters: the time; the request.
-- Returns: nothing.
-- Locks: the expired claims and their rows.
-- Changes: outbox, claims.
create function tidegate.end_expired(p_now timestamptz, p_claim tidegate.claim_request) returns void
language plpgsql as $$
declare
    v_expired constant bigint[] := tidegate.expired_claims(p_now => p_now, p_lanes => array[(p_claim).suspect_lane]);
    v_left bigint[];
begin
    if cardinality(v_expired) = 0 then
        return;
    end if;
    -- The numbers of later claims are above these, also if the clock was set back.
    if v_expired[cardinality(v_expired)] >= tidegate.claim_number() then
        perform tidegate.number_above(p_claim => v_expired[cardinality(v_expired)]);
    end if;
    with held as materialized (
        select c.claim, c.claimed_at, r.id, coalesce(r.turn, 0) as turn, coalesce(r.nth > c.starts, false) as is_ahead
        from tidegate.claims c cross join lateral unnest(c.ids, c.turns) with ordinality r (id, turn, nth)
        where c.claim = any (v_expired)
        order by r.id
    ), locked as materialized (
        select h.claim, h.claimed_at, o.place, o.permitted, h.is_ahead and o.permitted > 1 as is_ahead
        from held h
        cross join lateral (
            select
                o.ctid as place,
                case when o.max_attempts = 1 then 1
                    else (select p.max_lost from tidegate.policies p where p.id = o.policy_id) end as permitted
            from tidegate.outbox o where o.id = h.id and o.turn = h.turn for update skip locked
        ) o
    ), lost as (
        update tidegate.outbox o set
            turn = o.turn + 1, waits = false, suspect = true,
            lost = case when l.is_ahead then o.lost else least(o.lost + 1, l.permitted) end,
            due_at = case when l.is_ahead then o.due_at
                else p_now + (p_claim).backoff_us * (1 << least(o.lost, l.permitted - 1, 5)) * interval '1 microsecond' end,
            failed = case when not l.is_ahead and o.lost >= l.permitted then o.failed
                else coalesce(o.failed, '[]') || jsonb_build_object(
                    'attempt', o.attempt + 1, 'started_at', (extract(epoch from l.claimed_at) * 1000000)::bigint,
                    'duration', null, 'error', case when l.is_ahead then 'never_began' else 'lost' end,
                    'message', case when l.is_ahead then (p_claim).never_began_message else (p_claim).lost_message end)
                end
        from locked l where o.ctid = l.place
        returning l.claim
    )
    select array_agg(l.claim) into v_left from lost l;
    if v_left is not null then
        perform tidegate.leave_claims(p_left => v_left);
    end if;
end
$$;

-- The rare fields of a claimed row.
--
-- Parameters: the fields.
-- Returns: a JSON object without nulls, or null if all fields have their usual values.
-- Locks: none.
-- Changes: nothing.
create function tidegate.claimed_more(
    p_redrive_generation integer, p_letter bigint, p_reply_to text, p_time timestamptz, p_enqueued_at timestamptz,
    p_lost integer
) returns json
language sql stable parallel safe
return case
    when p_redrive_generation = 0 and p_letter is null and p_reply_to is null and p_time = p_enqueued_at and p_lost = 0
        then null
    else json_strip_nulls(json_build_object(
        'redrive_generation', p_redrive_generation, 'handles_letter', p_letter, 'reply_to', p_reply_to, 'lost', p_lost,
        'time', (extract(epoch from p_time) * 1000000)::bigint))
end;

-- The lanes of new claims, as rows of an answer.
--
-- Parameters: the claims.
-- Returns: rows of the kind 'lane'.
-- Locks: none.
-- Changes: nothing.
create function tidegate.lane_rows(p_claims bigint[]) returns setof tidegate.exchanged
language plpgsql stable as $$
begin
    return query
    select
        'lane', t.id, c.claim, null::integer, null::timestamptz, null::timestamptz, null::integer, null::integer,
        null::uuid, null::text, null::json,
        json_build_object(
            'app', t.app, 'name', t.name, 'version', t.version, 'registered_by', t.registered_by,
            'standing', tidegate.standing(t.registered_by, t.app),
            -- A deleted trigger has no handler.
            'handler_kind', case when t.deleted_at is null then t.handler_kind end,
            'handler_name', case when t.deleted_at is null then t.handler_name end,
            'script_version', case when t.deleted_at is null then s.version end)
    from unnest(p_claims) n (claim)
    cross join lateral (select c.claim, c.trigger_id from tidegate.claims c where c.claim = n.claim limit 1) c
    cross join lateral (select * from tidegate.triggers t where t.id = c.trigger_id limit 1) t
    left join lateral (
        select version from tidegate.scripts where app = t.app and name = t.handler_name limit 1
    ) s on t.handler_kind = 'script';
end
$$;

-- A retry policy, as a row of an answer. Postgres inlines the function.
--
-- Parameters: the policy.
-- Returns: one row of the kind 'policy'.
-- Locks: none.
-- Changes: nothing.
create function tidegate.policy_rows(p_policy integer) returns setof tidegate.exchanged
language sql stable as $$
    select 'policy', null::bigint, null::bigint, null::integer, null::timestamptz, null::timestamptz, p.id,
        null::integer, null::uuid, null::text, null::json, (to_jsonb(p) - 'id')::json
    from tidegate.policies p where p.id = p_policy
$$;

-- The rows of a claim that the calling transaction has just made, as rows of an answer: of an
-- inline claim, or of a claim of suspects.
--
-- The function is volatile, so that it sees the rows that the calling statement has just written.
--
-- Parameters: the claim and the place of each row.
-- Returns: rows of the kinds 'lane', 'policy' and 'claimed'.
-- Locks: none.
-- Changes: nothing.
create function tidegate.claimed_rows(p_claims bigint[], p_places tid[]) returns setof tidegate.exchanged
language plpgsql as $$
begin
    if cardinality(p_claims) = 0 then
        return;
    end if;
    return query select l.* from tidegate.lane_rows(array(select distinct c.claim from unnest(p_claims) c (claim))) l;
    return query
    with taken as materialized (
        select c.claim, o.* from unnest(p_claims, p_places) c (claim, place) join tidegate.outbox o on o.ctid = c.place
        order by o.trigger_id, o.id
    )
    select r.* from (select distinct t.policy_id as id from taken t) d cross join lateral tidegate.policy_rows(d.id) r
    union all
    select 'claimed', t.id, t.claim, t.attempt + 1, t.due_at, t.enqueued_at, t.policy_id, t.timeout_ms, t.event_id,
        t.event, t.data,
        tidegate.claimed_more(t.redrive_generation, t.handles_letter_id, t.reply_to, t.time, t.enqueued_at, t.lost)
    from taken t;
end
$$;

-- Writes the floors of lanes that have moved, about four times a second at most.
--
-- A claim that is full, or was cut, and did not move the floor, has left rows below the floor
-- behind. Then the due time is written at which the next claim continues. A lane that got no rows
-- because the bytes were used up keeps its values.
--
-- Parameters: the lanes, with the quotas and floors before the claims.
-- Returns: nothing.
-- Locks: none; the caller holds the lanes.
-- Changes: lanes.
create function tidegate.write_floors(p_open tidegate.opened_lanes) returns void
language plpgsql as $$
begin
    update tidegate.lanes k set
        floor_due = w.due, floor_id = w.id, oldest_claim = w.oldest, search_due = w.search_due, written_at = (p_open).now
    from (
        select
            l.lane, l.oldest, coalesce(c.floor_due, l.due) as due, coalesce(c.floor_id, l.id) as id,
            case when (c.rows_left = l.quota or (p_open).is_cut) and (c.floor_due, c.floor_id) = (l.due, l.id) then (
                select max(o.due_at) from unnest(c.places) p (place) join tidegate.outbox o on o.ctid = p.place)
            end as search_due
        from unnest(
            (p_open).lanes, (p_open).quotas, (p_open).dues, (p_open).ids, (p_open).numbers, (p_open).oldests)
            l (lane, quota, due, id, number, oldest)
        left join lateral (select * from tidegate.claims c where c.claim = l.number limit 1) c on true
        where l.quota > 0 and not ((p_open).is_cut and c.claim is null)
    ) w
    where k.trigger_id = any (array[w.lane])
      and (k.search_due is distinct from w.search_due or (
          (k.floor_due, k.floor_id) < (w.due, w.id)
          and k.written_at not between (p_open).now - interval '250 ms' and (p_open).now));
end
$$;

-- Makes the claims of an exchange: one for each lane with rows.
--
-- Nearly always all rows fit into the bytes. Only if they may not, the rows are added up in the
-- order of claims, and compressed data are read to measure them. The first row fits in any case.
--
-- Parameters: the lanes; the length of the lease; the most bytes of data.
-- Returns: the places of the claimed rows, and their retry policies; whether rows did not fit.
-- Locks: none; the caller holds the lanes.
-- Changes: claims.
create function tidegate.make_claims(
    p_open tidegate.opened_lanes, p_lease_us bigint, p_bytes_max bigint,
    out places tid[], out policies integer[], out is_cut boolean
)
language plpgsql as $$
begin
    with found as materialized (
        select l.at, f.*
        from unnest((p_open).lanes, (p_open).quotas, (p_open).look_backs, (p_open).dues, (p_open).ids)
            with ordinality l (lane, quota, look_back, due, id, at)
        cross join lateral tidegate.free_rows(l.lane, l.look_back, l.due, l.id, l.quota, p_open) f
    ), total as materialized (
        select count(f.stored) < count(*) or sum(f.stored) > p_bytes_max as may_not_fit from found f
    ), taken as materialized (
        select f.* from found f where not (select t.may_not_fit from total t)
        union all
        select s.at, s.place, s.id, s.turn, s.due_at, s.policy_id, s.stored
        from (
            select m.*, sum(m.bytes) over in_order as total, row_number() over in_order as nth
            from (
                select f.*, coalesce(f.stored, (
                    select octet_length(o.data::text) from tidegate.outbox o where o.ctid = f.place)) as bytes
                from found f
            ) m
            window in_order as (order by m.at, m.due_at, m.id rows unbounded preceding)
        ) s
        where (select t.may_not_fit from total t) and (s.nth = 1 or s.total <= p_bytes_max)
    ), grouped as materialized (
        select
            t.at, count(*) as rows, max(t.due_at) as due, array_agg(t.id) as ids,
            case when max(t.turn) > 0 then array_agg(t.turn) end as turns, array_agg(t.place) as places,
            min(t.policy_id) as policy, min(t.policy_id) < max(t.policy_id) as has_more_policies
        from taken t group by t.at
    ), made as (
        insert into tidegate.claims (
            claim, trigger_id, lease_until, claimed_at, rows_left, floor_due, floor_id, starts, ids, turns, places)
        select
            (p_open).numbers[g.at], (p_open).lanes[g.at], (p_open).now + p_lease_us * interval '1 microsecond',
            (p_open).now, g.rows, f.due, f.id, (p_open).starts[g.at], g.ids, g.turns, g.places
        from grouped g
        cross join lateral (
            select (p_open).dues[g.at] as due, (p_open).ids[g.at] as id
            union all select t.due_at, t.id from taken t where t.at = g.at and t.due_at = g.due
            order by due desc, id desc limit 1
        ) f
    )
    select array(select t.place from taken t), array(
        select g.policy from grouped g
        union select t.policy_id from grouped g join taken t on t.at = g.at where g.has_more_policies),
        (select count(*) from taken) < (select count(*) from found)
    into places, policies, is_cut;
end
$$;

-- Claims the suspects of a lane that were held ahead. If there is none, it claims the first of
-- those with the fewest losses.
--
-- A suspect that another transaction has locked is skipped: it is being claimed.
--
-- Parameters: the time; the request.
-- Returns: a row of the kind 'suspects' with the claim, and rows of the kinds 'lane', 'policy' and
--   'claimed'.
-- Locks: the suspects. The caller holds a lane with a max_concurrency.
-- Changes: outbox, claims.
create function tidegate.claim_suspects(p_now timestamptz, p_claim tidegate.claim_request)
returns setof tidegate.exchanged
language plpgsql as $$
declare
    v_limit integer;
    v_quota integer := (p_claim).suspect_quota;
    v_lost integer;
    v_taken record;
    v_claim bigint := tidegate.claim_number();
begin
    select t.max_concurrency into v_limit from tidegate.triggers t
    where t.id = (p_claim).suspect_lane
      and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'));
    if not found then
        return;
    end if;
    if v_limit is not null then
        v_quota := least(v_quota, tidegate.free_slots(
            p_now => p_now, p_lane => (p_claim).suspect_lane, p_limit => v_limit));
    end if;
    select min(s.lost) into v_lost from tidegate.outbox s
    where s.suspect and s.trigger_id = (p_claim).suspect_lane and s.due_at <= p_now;
    with chosen as materialized (
        select s.ctid as place, s.due_at, s.id from tidegate.outbox s
        where s.suspect and s.trigger_id = (p_claim).suspect_lane and s.due_at <= p_now and s.lost = v_lost
        order by s.due_at, s.id + 0
        limit least(v_quota, case when v_lost > 0 then 1 end)
        for update skip locked
    ), sized as materialized (
        select
            c.place, row_number() over in_order as nth,
            sum((select octet_length(o.data::text) from tidegate.outbox o where o.ctid = c.place)) over in_order as total
        from chosen c
        window in_order as (order by c.due_at, c.id rows unbounded preceding)
    ), taken as (
        update tidegate.outbox o set suspect = false
        from sized s where o.ctid = s.place and (s.nth = 1 or s.total <= (p_claim).bytes_max)
        returning o.ctid as place, o.id, o.turn
    )
    select array_agg(t.id) as ids, array_agg(t.turn) as turns, array_agg(t.place) as places into v_taken from taken t;
    if v_taken.ids is null then
        return;
    end if;
    if (select s.last_value from tidegate.late_claim_numbers s) >= v_claim then
        v_claim := tidegate.number_above(p_claim => v_claim);
    end if;
    insert into tidegate.claims (claim, trigger_id, lease_until, claimed_at, rows_left, ids, turns, places)
    values (
        v_claim, (p_claim).suspect_lane, p_now + (p_claim).lease_us * interval '1 microsecond', p_now,
        cardinality(v_taken.ids), v_taken.ids, v_taken.turns, v_taken.places);
    return next row('suspects', null, v_claim, null, null, null, null, null, null, null, null, null)::tidegate.exchanged;
    return query select r.* from tidegate.claimed_rows(
        p_claims => array_fill(v_claim, array[cardinality(v_taken.ids)]), p_places => v_taken.places) r;
end
$$;

-- Settles finished deliveries, then ends the expired claims of the suspects' lane, then claims rows
-- of the lanes, and last the suspects.
--
-- Parameters: the settlements; the lanes to claim from.
-- Returns: rows of `tidegate.exchanged`, in no order.
-- Locks: in the order given in 0004. The lanes stay locked until the end of the transaction.
-- Changes: outbox, claims, lanes, and the tables of `tidegate.settle`.
create function tidegate.exchange(p_settle tidegate.settlements, p_claim tidegate.claim_request)
returns setof tidegate.exchanged
language plpgsql as $$
declare
    v_settled record := tidegate.settle_all(p_settle => p_settle);
    v_open tidegate.opened_lanes;
    v_made record;
begin
    return query select * from unnest(v_settled.answer);
    if cardinality((p_claim).lanes) > 0 or (p_claim).suspect_lane is not null then
        v_open := tidegate.open_lanes(p_claim => p_claim, p_floors => v_settled.floors);
    else
        v_open.now := clock_timestamp();
    end if;
    return next row('now', null, null, null, v_open.now, null, null, null, null, null, null, null)::tidegate.exchanged;
    if (p_claim).suspect_lane is not null then
        perform tidegate.end_expired(p_now => v_open.now, p_claim => p_claim);
    end if;
    if v_open.lanes is not null then
        v_made := tidegate.make_claims(
            p_open => v_open, p_lease_us => (p_claim).lease_us, p_bytes_max => (p_claim).bytes_max);
        v_open.is_cut := v_made.is_cut;
        if v_made.is_cut then
            return next row('cut', null, null, null, null, null, null, null, null, null, null, null)::tidegate.exchanged;
        end if;
        return query
        select 'claimed', o.id, v_open.numbers[array_position(v_open.lanes, o.trigger_id)], o.attempt + 1, o.due_at,
            o.enqueued_at, o.policy_id, o.timeout_ms, o.event_id, o.event, o.data,
            tidegate.claimed_more(o.redrive_generation, o.handles_letter_id, o.reply_to, o.time, o.enqueued_at, 0)
        from tidegate.outbox o where o.ctid = any (v_made.places)
        union all
        select r.* from unnest(v_made.policies) d (id) cross join lateral tidegate.policy_rows(d.id) r;
        return query select l.* from tidegate.lane_rows(p_claims => v_open.numbers) l;
        perform tidegate.write_floors(p_open => v_open);
    end if;
    if (p_claim).suspect_lane is not null then
        return query select * from tidegate.claim_suspects(p_now => v_open.now, p_claim => p_claim);
    end if;
end
$$;
