-- One row for each enabled, living trigger of the app that the event matches, or for the one trigger that is named.
--
-- Patterns become GLOBs by escaping what GLOB knows beyond '*'; '[' first, because the escapes themselves are made of it.
-- GLOB's reader of UTF-8 takes U+FFFE and U+FFFF for U+FFFD. On both sides they become control characters, which are in
-- no name and in no pattern, so that the three stay apart.
with told (first, second) as materialized (
    select
        replace(replace(first, char(0xfffe), char(1)), char(0xffff), char(2)),
        replace(replace(second, char(0xfffe), char(1)), char(0xffff), char(2))
    from (
        select
            case ?3 when 'kv' then substr(?6, 1, instr(?6, '/') - 1) when 'app' then ?5 else ?6 end as first,
            case ?3 when 'kv' then substr(?6, instr(?6, '/') + 1) else ?6 end as second
    )
)
insert into outbox (
    trigger_id, due_at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
    handles_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
select
    t.id, ?1, case when ?14 is null then t.max_attempts else 1 end, t.backoff, t.base_ms, t.max_ms, t.jitter,
    t.max_age_ms, t.timeout_ms, ?1, ?14, ?4, ?3, ?5, ?6, ?1, ?7, ?8, ?9, ?10, ?11, ?12
from told cross join triggers t
where t.app = ?2 and t.source = ?3 and t.enabled and t.deleted_at is null
  and case
        when ?13 is not null then t.id = ?13
        when t.source not in ('kv', 'app', 'dead_letter') then 0
        when t.source = 'kv' and not case ?5 when 'kv.set' then t.on_set when 'kv.delete' then t.on_delete else 0 end then 0
        else
            told.first glob replace(replace(replace(replace(
                t.first_pattern, '[', '[[]'), '?', '[?]'), char(0xfffe), char(1)), char(0xffff), char(2))
            and (t.source = 'dead_letter' or told.second glob replace(replace(replace(replace(
                t.second_pattern, '[', '[[]'), '?', '[?]'), char(0xfffe), char(1)), char(0xffff), char(2)))
      end
order by t.id
returning trigger_id
