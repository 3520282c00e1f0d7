-- Reads the row ?1, if its turn is ?2. The columns are those of `claim.sql`.
select id, turn, due_at, attempt + 1, lost, executed is null, max_attempts, max_lost, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where id = ?1 and turn = ?2
