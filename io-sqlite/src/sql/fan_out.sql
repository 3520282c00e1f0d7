-- One row for each enabled, living trigger of the app that the event matches, or for the one trigger that is named. Patterns become GLOBs by escaping what
-- GLOB knows beyond '*'; '[' first, because the escapes themselves are made of it.
insert into outbox (
    trigger_id, due_at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
    handles_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
select
    t.id, ?1, case when ?14 is null then t.max_attempts else 1 end, t.backoff, t.base_ms, t.max_ms, t.jitter,
    t.max_age_ms, t.timeout_ms, ?1, ?14, ?4, ?3, ?5, ?6, ?1, ?7, ?8, ?9, ?10, ?11, ?12
from triggers t
where t.app = ?2 and t.source = ?3 and t.enabled and t.deleted_at is null
  and case
        when ?13 is not null then t.id = ?13
        when t.source = 'kv' then
            case ?5 when 'kv.set' then t.on_set when 'kv.delete' then t.on_delete else 0 end
            and substr(?6, 1, instr(?6, '/') - 1) glob replace(replace(t.first_pattern, '[', '[[]'), '?', '[?]')
            and substr(?6, instr(?6, '/') + 1) glob replace(replace(t.second_pattern, '[', '[[]'), '?', '[?]')
        when t.source = 'app' then
            ?5 glob replace(replace(t.first_pattern, '[', '[[]'), '?', '[?]')
            and ?6 glob replace(replace(t.second_pattern, '[', '[[]'), '?', '[?]')
        when t.source = 'dead_letter' then
            ?6 glob replace(replace(t.first_pattern, '[', '[[]'), '?', '[?]')
        else 0
      end
order by t.id
returning trigger_id
