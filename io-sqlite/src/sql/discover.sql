-- Lists the lanes that have a row to claim now or later, each with the due time of its first row
-- above the floor. The recursion jumps from trigger to trigger in the index outbox_lanes, so that
-- the cost grows with the number of lanes and not with the number of rows. On Postgres a function
-- returns the suspects and the schedules too, in the same round trip; here `suspects.sql` and
-- `schedules.sql` read them.
with recursive waiting (trigger_id) as (
    select min(trigger_id) from outbox where waits
    union all
    select (select min(o.trigger_id) from outbox o where o.waits and o.trigger_id > waiting.trigger_id)
    from waiting where waiting.trigger_id is not null
),
free (trigger_id, due_at) as (
    select w.trigger_id, coalesce(
        (select o.due_at from outbox o
        where o.waits and o.trigger_id = w.trigger_id and o.due_at = f.due_at and o.id > f.id
        limit 1),
        (select o.due_at from outbox o
        where o.waits and o.trigger_id = w.trigger_id and o.due_at > coalesce(f.due_at, -1)
        order by o.due_at
        limit 1))
    from waiting w left join floors f on f.trigger_id = w.trigger_id
)
select t.id, t.max_concurrency, free.due_at as next_due
from free join triggers t on t.id = free.trigger_id
where free.due_at is not null and (not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke'))
order by t.id
