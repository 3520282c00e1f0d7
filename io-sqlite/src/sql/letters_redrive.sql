-- The deliveries of the letters ?1, as they were before their first attempt.
insert into outbox (
    trigger_id, due_at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
    redrive_generation, previous_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
    traceparent, data)
select
    trigger_id, ?2, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, ?2,
    redrive_generation + 1, id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
    traceparent, data
from dead_letters
where id in (select value from json_each(?1))
order by id
