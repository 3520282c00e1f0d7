-- Puts the deliveries of letters back in the outbox, in their state before the first attempt. ?1 is
-- a JSON array of pairs: the id of a letter and the id of the trigger. ?2 is the time. On Postgres
-- this statement also selects the letters, locks them against a concurrent redrive, and marks them.
-- Here there is only one writer: `letters_pick.sql` selects them and `letters_resolve.sql` marks
-- them.
insert into outbox (
    trigger_id, due_at, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
    redrive_generation, previous_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
    traceparent, data)
select
    pair.value ->> 1, ?2, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, ?2,
    redrive_generation + 1, dead_letters.id, event_id, source, dead_letters.type, subject, time, actor, root_id,
    parent_id, depth, traceparent, data
from json_each(?1) pair join dead_letters on dead_letters.id = pair.value ->> 0
order by dead_letters.id
