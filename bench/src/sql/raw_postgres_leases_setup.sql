-- The fastest known loop that marks claimed rows. The table has the columns that a handler needs
-- and one index. No index contains the lease columns and pages are filled by half, so that a claim
-- is a HOT update. One function settles and claims in one commit. The loop is a limit and not a
-- queue: it has no concurrency limits, retries, dead letters or permissions.
create schema raw;

create table raw.outbox (
    id          bigint generated always as identity primary key,
    trigger_id  bigint not null,
    due_at      timestamptz not null,
    lease       bigint not null default 0,
    lease_until timestamptz not null default 'epoch',
    attempt     integer not null default 0,
    depth       integer not null default 0,
    time        timestamptz not null,
    event_id    uuid not null,
    type        text not null,
    subject     text not null,
    actor       text not null,
    data        json not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

create index on raw.outbox (trigger_id, due_at, id);

create function raw.exchange(p_ids bigint[], p_leases bigint[], p_lanes bigint[], p_quotas integer[])
returns table (
    id bigint, lease bigint, trigger_id bigint, attempt integer, depth integer, "time" timestamptz, event_id uuid,
    type text, subject text, actor text, data json)
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
begin
    delete from raw.outbox o using unnest(p_ids, p_leases) s (id, lease)
    where o.id = any (array[s.id]) and o.lease = s.lease;
    return query
    with locked as materialized (
        select l.place
        from unnest(p_lanes, p_quotas) q (trigger_id, quota)
        cross join lateral (
            select o.ctid as place from raw.outbox o
            where o.trigger_id = q.trigger_id and o.due_at <= v_now and o.lease_until <= v_now
            order by o.due_at, o.id
            limit q.quota
            for update skip locked
        ) l
    )
    update raw.outbox o set lease = o.lease + 1, lease_until = v_now + interval '10 seconds', attempt = o.attempt + 1
    from locked l
    where o.ctid = l.place
    returning
        o.id, o.lease, o.trigger_id, o.attempt, o.depth, o.time, o.event_id, o.type, o.subject, o.actor, o.data;
end
$$;
