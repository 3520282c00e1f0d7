-- Puts the deliveries of the letters ?1, a JSON array of ids, back in the outbox, in their state
-- before the first attempt. ?2 is the time. On Postgres this statement also selects the letters,
-- locks them against a concurrent redrive, and marks them. Here there is only one writer:
-- `letters_pick.sql` selects them and `letters_resolve.sql` marks them.
insert into outbox (
    trigger_id, due_at, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
    redrive_generation, previous_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
    traceparent, data)
select
    trigger_id, ?2, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, ?2,
    redrive_generation + 1, id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
    traceparent, data
from dead_letters
where id in (select value from json_each(?1))
order by id
