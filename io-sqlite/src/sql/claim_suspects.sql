-- Reads the first ?4 suspects of the lane ?1 that are due at the time ?2 and have ?3 losses. The
-- columns are those of `claim.sql`.
select id, turn, due_at, attempt + 1, lost, executed is null, max_attempts, max_lost, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where suspect and trigger_id = ?1 and due_at <= ?2 and lost = ?3
order by due_at, id
limit ?4
