-- Claims: their numbers, their ends, their renewal, and the limit of a lane. The claim itself is in
-- 0006.

-- Makes the number of a claim: the microseconds of the time, then ten bits of a sequence.
--
-- The time makes the number greater than all earlier ones, also after a restore of an earlier state
-- of the database. The sequence tells claims of one microsecond apart.
--
-- Parameters: none.
-- Returns: the number.
-- Locks: none.
-- Changes: the sequence claim_numbers.
create function tidegate.claim_number() returns bigint
language sql volatile as $$
    select ((date_part('epoch', clock_timestamp()) * 1000000)::bigint << 10) | (nextval('tidegate.claim_numbers') & 1023)
$$;

-- Makes the number of a claim in a lane that has a claim with a number of a later time, because the
-- clock was set back.
--
-- The numbers come from a sequence of their own, so that they rise in all lanes and never repeat.
--
-- Parameters: the claim.
-- Returns: a number above it.
-- Locks: the advisory lock (1952736357, -1), until the end of the transaction.
-- Changes: the sequence late_claim_numbers.
create function tidegate.number_above(p_claim bigint) returns bigint
language plpgsql as $$
declare
    v_number bigint;
begin
    perform pg_advisory_xact_lock(tidegate.daemon_locks(), -1);
    v_number := nextval('tidegate.late_claim_numbers');
    if v_number <= p_claim then
        v_number := setval('tidegate.late_claim_numbers', p_claim + 1);
    end if;
    return v_number;
end
$$;

-- Floors of lanes, in parallel arrays.
create type tidegate.floors as (
    lanes bigint[],
    dues  timestamptz[],
    ids   bigint[]
);

-- Records that rows have left their claims. A claim is deleted with its last row.
--
-- Parameters: the claims of rows that left, one entry per row.
-- Returns: the floors that the deleted claims have kept.
-- Locks: the claims, in the order of their numbers.
-- Changes: claims.
create function tidegate.leave_claims(p_left bigint[]) returns tidegate.floors
language plpgsql as $$
declare
    v_floors tidegate.floors;
    v_claim bigint;
    v_rows integer;
    v_ended tidegate.claims;
begin
    for v_claim, v_rows in select l.claim, count(*) from unnest(p_left) l (claim) group by l.claim order by l.claim loop
        select * into v_ended from tidegate.claims c where c.claim = v_claim for update;
        if v_ended.rows_left > v_rows then
            update tidegate.claims c set rows_left = rows_left - v_rows where c.claim = v_claim;
        else
            delete from tidegate.claims c where c.claim = v_claim;
            if v_ended.floor_due > '-infinity' then
                v_floors.lanes := v_floors.lanes || v_ended.trigger_id;
                v_floors.dues := v_floors.dues || v_ended.floor_due;
                v_floors.ids := v_floors.ids || v_ended.floor_id;
            end if;
        end if;
    end loop;
    return v_floors;
end
$$;

-- Locks lanes until the end of the transaction, so that claims of one lane follow one another.
--
-- Parameters: the lanes.
-- Returns: nothing.
-- Locks: the lanes, in the order of their triggers. It waits for them.
-- Changes: nothing.
create function tidegate.lock_lanes(p_lanes bigint[]) returns void
language plpgsql as $$
begin
    perform from (select l.id from unnest(p_lanes) l (id) order by l.id offset 0) l
    cross join lateral (select from tidegate.lanes k where k.trigger_id = l.id for update) k;
end
$$;

-- The number of free slots of a lane with a max_concurrency.
--
-- Each row of a live claim takes a slot, except a sync call that has been executed. A claim that
-- has expired becomes void: it can no longer be renewed, so its slots are free for good. A claim
-- that another transaction has locked is being renewed or settled, and counts as live. For
-- `c.claim + 0` see `expired_claims`.
--
-- Parameters: the time; the lane; its limit.
-- Returns: the number of free slots.
-- Locks: expired claims of the lane; it skips locked ones. The caller holds the lane.
-- Changes: claims.
create function tidegate.free_slots(p_now timestamptz, p_lane bigint, p_limit integer) returns integer
language plpgsql as $$
declare
    -- A floor after the time was written before the clock was set back.
    v_floor constant timestamptz := (
        select case when f.lease_until > p_now then '-infinity' else f.lease_until end from tidegate.claims_floor f);
    v_expired bigint[];
begin
    v_expired := array(
        select c.claim from tidegate.claims c
        where c.lease_until >= v_floor and c.trigger_id = p_lane and c.lease_until <= p_now and not c.is_void
        order by c.claim + 0 for update skip locked);
    if cardinality(v_expired) > 0 then
        update tidegate.claims c set is_void = true where c.claim = any (v_expired);
    end if;
    return greatest(0, p_limit - (
        select coalesce(sum(c.rows_left - e.rows), 0)
        from tidegate.claims c
        cross join lateral (
            select count(*) as rows from unnest(c.ids, c.turns) l (id, turn)
            join tidegate.outbox o on o.id = any (array[l.id]) and o.turn = coalesce(l.turn, 0)
            where o.executed is not null and (select t.source = 'http' from tidegate.triggers t where t.id = p_lane)) e
        where c.lease_until >= v_floor and c.trigger_id = p_lane and not c.is_void));
end
$$;

-- Raises the floor of claims, where the search for expired claims begins.
--
-- It stays one second behind the time, because the claim of a transaction that has not committed
-- yet may have a lease that ends earlier than one that is visible.
--
-- Parameters: the time; whether to look at all claims first.
-- Returns: nothing.
-- Locks: the row of claims_floor; it does nothing if the row is locked.
-- Changes: claims_floor.
create function tidegate.raise_claims_floor(p_now timestamptz, p_looks_at_all boolean default false) returns void
language plpgsql as $$
declare
    v_floor tidegate.claims_floor;
    v_until constant timestamptz := p_now - interval '1 second';
begin
    select * into v_floor from tidegate.claims_floor f for update skip locked;
    if not found then
        return;
    end if;
    if p_looks_at_all then
        v_floor := row('-infinity', 0, p_now, p_now);
    end if;
    update tidegate.claims_floor f set
        lease_until = coalesce((
            select c.lease_until from tidegate.claims c
            where c.lease_until >= v_floor.lease_until and c.lease_until <= v_until
            order by c.lease_until limit 1), v_until),
        oldest_claim = coalesce((
            select c.claim from tidegate.claims c where c.claim >= v_floor.oldest_claim order by c.claim limit 1),
            (date_part('epoch', v_until) * 1000000)::bigint << 10);
end
$$;

-- Renews leases. A renewal of one row renews its whole claim.
--
-- A claim of a lane with a max_concurrency is not renewed after the end of its lease, because its
-- slots may be in use again.
--
-- Parameters: the deliveries; the claim of each; the new length of the leases.
-- Returns: first a row with the time alone, then the claims that are fenced.
-- Locks: the claims, in the order of their numbers.
-- Changes: claims.
create function tidegate.renew(p_ids bigint[], p_claims bigint[], p_lease_us bigint)
returns table (now timestamptz, id bigint, claim bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    v_locked bigint[];
    v_ids bigint[];
    v_claims bigint[];
begin
    v_locked := array(
        select c.claim
        from (select distinct s.claim from unnest(p_claims) s (claim) order by s.claim offset 0) named
        cross join lateral (select * from tidegate.claims c where c.claim = named.claim for update) c
        cross join lateral (select * from tidegate.triggers t where t.id = c.trigger_id limit 1) t
        where not c.is_void and (t.max_concurrency is null or c.lease_until > clock_timestamp()));
    select coalesce(array_agg(l.id), '{}'), coalesce(array_agg(l.claim), '{}') into v_ids, v_claims
    from tidegate.listed_rows(p_ids => p_ids, p_claims => p_claims) l
    cross join lateral (select o.turn from tidegate.outbox o where o.id = l.id limit 1) o
    where o.turn = l.turn and l.claim = any (v_locked);
    now := clock_timestamp();
    update tidegate.claims c set lease_until = now + p_lease_us * interval '1 microsecond'
    where c.claim = any (v_claims);
    return next;
    return query
    select now, s.id, s.claim from unnest(p_ids, p_claims) s (id, claim)
    where ((s.id, s.claim) in (select h.id, h.claim from unnest(v_ids, v_claims) h (id, claim))) is not true;
end
$$;
