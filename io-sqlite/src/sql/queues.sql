-- Lists the lanes with their depth, counted up to ?2, and the due time of their first row that is
-- not leased. ?1 is the time. The recursion jumps from trigger to trigger in the index
-- outbox_lanes. The Postgres file also returns the time, in a row of its own if the outbox is
-- empty.
with recursive lanes (trigger_id) as (
    select min(trigger_id) from outbox
    union all
    select (select min(o.trigger_id) from outbox o where o.trigger_id > lanes.trigger_id)
    from lanes where lanes.trigger_id is not null
)
select t.app, t.name,
    (select count(*) from (select 1 from outbox o where o.trigger_id = t.id limit ?2)) as depth,
    (select o.due_at from outbox o where o.trigger_id = t.id and o.lease_until <= ?1 order by o.due_at, o.id limit 1)
        as oldest_due
from lanes join triggers t on t.id = lanes.trigger_id
order by t.app, t.name, t.id
