-- Lists the lanes with their depth and the due time of their first row that no live claim holds.
--
-- The depth is counted up to $1 rows. It counts indexed rows, suspects, and the rows of claims.
-- Each row contains the store's time. If the outbox is empty, there is one row with the time alone.
with clock (now) as (select clock_timestamp()), held as materialized (
    select l.id, coalesce(l.turn, 0) as turn, c.trigger_id, c.lease_until
    from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
), waiting as (
    select k.trigger_id, count(*) as depth, min(o.due_at) filter (where o.is_free) as first
    from tidegate.lanes k
    cross join lateral (
        select o.due_at, (o.id, o.turn) not in (select h.id, h.turn from held h) as is_free
        from tidegate.outbox o
        where o.waits and o.trigger_id = k.trigger_id
        order by o.trigger_id, o.due_at, o.id + 0
        limit $1
    ) o
    group by k.trigger_id
), claimed as (
    select h.trigger_id, count(*) filter (where not o.waits) as depth,
        min(o.due_at) filter (where h.lease_until <= clock.now) as first
    from held h join tidegate.outbox o on o.id = h.id and o.turn = h.turn cross join clock
    group by h.trigger_id
), suspected as (
    select k.trigger_id, count(*) as depth, min(o.due_at) as first
    from tidegate.lanes k
    cross join lateral (
        select o.due_at from tidegate.outbox o
        where o.suspect and o.trigger_id = k.trigger_id
        order by o.trigger_id, o.due_at, o.id + 0
        limit $1
    ) o
    group by k.trigger_id
), lane as (
    select trigger_id, least(sum(depth), $1)::bigint as depth, min(first) as first
    from (select * from waiting union all select * from claimed union all select * from suspected) parts
    group by trigger_id
)
select clock.now, t.app, t.name, lane.depth, lane.first as oldest_due
from clock
left join lane on lane.depth > 0
left join lateral (select app, name from tidegate.triggers where id = lane.trigger_id) t on true
order by t.app, t.name, lane.trigger_id
