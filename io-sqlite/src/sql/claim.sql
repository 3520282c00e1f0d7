-- Reads the next rows of the lane ?1 that are due after ?2, the due time of the floor, and until
-- ?3, the time. ?4 is the quota. No row above the floor is held by a claim, so the statement reads
-- no other row.
select id, turn, due_at, attempt + 1, lost, executed is null, max_attempts, max_lost, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where waits and trigger_id = ?1 and due_at > ?2 and due_at <= ?3
order by due_at, id
limit ?4
