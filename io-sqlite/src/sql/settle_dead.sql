-- Copies the row ?1 to the dead letters, with the reason ?2, ?3 attempts and the fingerprint ?5. ?4
-- is the last failed attempt as JSON; null if it was lost, which is recorded already. ?6 is the
-- time. A letter of a deleted trigger has no handler.
insert into dead_letters (
    app, delivery_id, trigger_id, trigger_name, trigger_version, handler_kind, handler_name, script_version, principal,
    reason, attempts, failed, fingerprint, enqueued_at, created_at, redrive_generation, previous_letter_id,
    max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms,
    event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
select
    t.app, o.id, t.id, t.name, t.version, iif(t.deleted_at is null, t.handler_kind, null),
    iif(t.deleted_at is null, t.handler_name, null), iif(t.deleted_at is null, s.version, null), t.registered_by,
    ?2, ?3, iif(?4 is null, coalesce(o.failed, '[]'), json_insert(coalesce(o.failed, '[]'), '$[#]', json(?4))),
    ?5, o.enqueued_at, ?6, o.redrive_generation, o.previous_letter_id,
    o.max_attempts, o.max_lost, o.backoff, o.base_ms, o.max_ms, o.jitter, o.max_age_ms, o.timeout_ms,
    o.event_id, o.source, o.type, o.subject, o.time, o.actor, o.root_id, o.parent_id, o.depth, o.traceparent, o.data
from outbox o
join triggers t on t.id = o.trigger_id
left join scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
where o.id = ?1
returning id, trigger_name, failed, event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent,
    data
