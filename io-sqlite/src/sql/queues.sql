-- Lists the lanes with their depth, counted up to ?2, and the due time of their first row that no
-- live claim holds. ?1 is the time. The recursion jumps from trigger to trigger in the index
-- outbox_lanes. Rows that are not in the index are listed in claims, or are suspects. The Postgres
-- file also returns the time, in a row of its own if the outbox is empty.
with recursive waiting (trigger_id) as (
    select min(trigger_id) from outbox where waits
    union all
    select (select min(o.trigger_id) from outbox o where o.waits and o.trigger_id > waiting.trigger_id)
    from waiting where waiting.trigger_id is not null
),
claimed (trigger_id, due_at, waits, lease_until) as materialized (
    select c.trigger_id, o.due_at, o.waits, c.lease_until
    from claims c cross join json_each(c.deliveries) r
    cross join outbox o on o.id = r.value ->> 0 and o.turn = r.value ->> 1
),
lanes (trigger_id) as (
    select trigger_id from waiting where trigger_id is not null
    union select trigger_id from claimed
    union select trigger_id from outbox where suspect
)
select t.app, t.name,
    (select count(*) from (
        select 1 from outbox o where o.waits and o.trigger_id = t.id
        union all
        select 1 from claimed c where not c.waits and c.trigger_id = t.id
        union all
        select 1 from outbox o where o.suspect and o.trigger_id = t.id
        limit ?2)) as depth,
    (select min(due_at) from (
        select coalesce(
            (select o.due_at from outbox o
            where o.waits and o.trigger_id = t.id and o.due_at = f.due_at and o.id > f.id
            limit 1),
            (select o.due_at from outbox o
            where o.waits and o.trigger_id = t.id and o.due_at > coalesce(f.due_at, -1)
            order by o.due_at
            limit 1)) as due_at
        union all
        select min(o.due_at) from outbox o where o.suspect and o.trigger_id = t.id
        union all
        select c.due_at from claimed c where c.trigger_id = t.id and c.lease_until <= ?1)) as oldest_due
from lanes join triggers t on t.id = lanes.trigger_id left join floors f on f.trigger_id = t.id
order by t.app, t.name, t.id
