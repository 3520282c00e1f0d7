-- Writes the row of an event for the trigger ?2, with the retry policy that the trigger has now. ?1
-- is the time. ?13 is the dead letter that the row handles, or null; such a row has one attempt.
-- ?14 is 0 if the transaction also claims the row.
insert into outbox (
    trigger_id, due_at, waits, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms,
    enqueued_at, handles_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
select
    id, ?1, ?14, case when ?13 is null then max_attempts else 1 end, max_lost, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, ?1, ?13, ?4, ?3, ?5, ?6, ?1, ?7, ?8, ?9, ?10, ?11, ?12
from triggers
where id = ?2
