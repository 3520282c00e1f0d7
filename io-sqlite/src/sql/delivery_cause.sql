-- Reads the cause for the effects and the dead letter of the delivery ?1: they continue its chain.
select t.app, iif(t.source = 'invoke', o.actor, t.registered_by) as runs_as, o.event_id, o.root_id, o.depth,
    o.traceparent
from outbox o join triggers t on t.id = o.trigger_id
where o.id = ?1
