-- The fastest known loop in plain SQL. A claim is one row with the ids and places of its rows, so
-- that a row of the outbox is written once and deleted once. The event is one encoded column. A
-- lane has a floor: the position of the last claimed row. One function settles a claim and makes
-- the next one in one commit. The loop is a limit and not a queue: it never checks a lease, and has
-- no concurrency limits, retries, stragglers, dead letters or permissions.
create schema raw;

create table raw.outbox (
    id         bigint generated always as identity primary key,
    trigger_id bigint not null,
    due_at     timestamptz not null,
    attempt    integer not null default 0,
    event      bytea not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create index on raw.outbox (trigger_id, due_at, id);

create table raw.lanes (
    trigger_id bigint primary key,
    floor_due  timestamptz not null,
    floor_id   bigint not null
) with (fillfactor = 50);

insert into raw.lanes values (1, '-infinity', 0);

-- The arrays stay in the row (storage main), because a separate table for large values costs an
-- index.
create table raw.claims (
    claim       bigint generated always as identity primary key,
    trigger_id  bigint not null,
    lease_until timestamptz not null,
    ids         bigint[] not null,
    places      tid[] not null
);

alter table raw.claims alter ids set storage main, alter places set storage main;

create function raw.exchange(p_done bigint, p_lane bigint, p_quota integer)
returns table (claim bigint, id bigint, attempt integer, event bytea)
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
    v_claim bigint := nextval('raw.claims_claim_seq');
    v_places tid[];
    v_floor_due timestamptz;
    v_floor_id bigint;
begin
    delete from raw.claims c where c.claim = p_done returning c.places into v_places;
    delete from raw.outbox o using unnest(v_places) s (place) where o.ctid = s.place;
    -- The claims of one lane wait for each other here, so that no row needs a lock.
    select l.floor_due, l.floor_id into v_floor_due, v_floor_id
    from raw.lanes l where l.trigger_id = p_lane for update;
    return query
    with claimed as materialized (
        select o.ctid as place, o.due_at, o.id, o.attempt, o.event
        from raw.outbox o
        where o.trigger_id = p_lane and (o.due_at, o.id) > (v_floor_due, v_floor_id) and o.due_at <= v_now
        order by o.due_at, o.id
        limit p_quota
    ), claim as materialized (
        insert into raw.claims (claim, trigger_id, lease_until, ids, places) overriding system value
        select v_claim, p_lane, v_now + interval '10 seconds', array_agg(c.id), array_agg(c.place)
        from claimed c
        having count(*) > 0
        returning 1
    ), floor as materialized (
        update raw.lanes l set floor_due = last.due_at, floor_id = last.id
        from (select c.due_at, c.id from claimed c order by c.due_at desc, c.id desc limit 1) last
        where l.trigger_id = p_lane
        returning 1
    )
    select v_claim, c.id, c.attempt, c.event from claimed c, claim, floor;
end
$$;
