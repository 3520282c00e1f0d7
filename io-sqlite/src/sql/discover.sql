-- Lists the lanes that have a row to claim now or later, each with the due time of its first such
-- row. ?1 is the time. The recursion jumps from trigger to trigger in the index outbox_lanes, so
-- that the cost grows with the number of lanes and not with the number of rows. On Postgres a
-- function returns the schedules too, in the same round trip; here `schedules.sql` reads them.
with recursive lanes (trigger_id) as (
    select min(trigger_id) from outbox
    union all
    select (select min(o.trigger_id) from outbox o where o.trigger_id > lanes.trigger_id)
    from lanes where lanes.trigger_id is not null
)
select t.id, t.max_concurrency, (
    select o.due_at from outbox o
    where o.trigger_id = t.id and o.lease_until <= ?1
    order by o.due_at, o.id
    limit 1) as next_due
from lanes join triggers t on t.id = lanes.trigger_id
where next_due is not null and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'))
order by t.id
