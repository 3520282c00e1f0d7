-- Lists the lanes with their depth and the due time of their first unleased row.
--
-- The depth is counted up to $1 rows. The recursion jumps from lane to lane in the index. Each row
-- contains the store's time. If the outbox is empty, there is one row with the time alone.
with recursive lanes (id) as (
    (select o.trigger_id from tidegate.outbox o order by o.trigger_id, o.due_at, o.id + 0 limit 1)
    union all
    select (
        select o.trigger_id from tidegate.outbox o where o.trigger_id > l.id
        order by o.trigger_id, o.due_at, o.id + 0 limit 1)
    from lanes l where l.id is not null
), clock (now) as (select clock_timestamp())
select clock.now, t.app, t.name, counted.depth, first.due_at as oldest_due
from clock
left join lanes l on l.id is not null
left join lateral (select app, name from tidegate.triggers where id = l.id) t on true
left join lateral (
    select count(*) as depth from (
        select from tidegate.outbox o where o.trigger_id = l.id order by o.trigger_id, o.due_at, o.id + 0 limit $1) rows
) counted on true
left join lateral (
    select o.due_at from tidegate.outbox o where o.trigger_id = l.id and o.lease_until <= clock.now
    order by o.due_at, o.id + 0 limit 1
) first on true
order by t.app, t.name, l.id
