-- Lists deliveries of the app ?1 by id, at most ?6. ?2 is a trigger name, ?3 a state, ?7 a delivery
-- id. ?4 is the cursor: only deliveries with a higher id. A filter that is null matches all
-- deliveries. ?5 is the time. The attempt of a row that a claim holds counts, even if the claim has
-- expired. The Postgres file reads the time from its own clock, and it needs a subquery to filter
-- by the computed column `state`.
with held (id, turn, lease_until) as materialized (
    select r.value ->> 0, r.value ->> 1, c.lease_until from claims c cross join json_each(c.deliveries) r
)
select o.id, t.name as trigger_name, t.app,
    o.attempt + ((o.id, o.turn) in (select id, turn from held)) as attempt, o.lost, o.max_attempts, o.due_at, o.enqueued_at, o.failed,
    o.event_id, o.source, o.type, o.subject, o.time, o.actor, o.root_id, o.parent_id, o.depth, o.traceparent, o.data,
    case
        when (o.id, o.turn) in (select id, turn from held where lease_until > ?5) then 'leased'
        when o.due_at > ?5 then 'scheduled'
        else 'ready'
    end as state
from outbox o join triggers t on t.id = o.trigger_id
where t.app = ?1 and (?2 is null or t.name = ?2) and (?3 is null or state = ?3)
  and o.id > coalesce(?4, 0) and (?7 is null or o.id = ?7)
order by o.id
limit ?6
