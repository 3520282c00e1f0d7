-- The chain that a delivery's effects continue.
select t.app, t.registered_by, o.event_id, o.root_id, o.depth, o.traceparent
from outbox o join triggers t on t.id = o.trigger_id
where o.id = ?1
