-- The next due rows of one lane as they are once `lease` has leased them. It walks the lane's run of the index and passes
-- over what is leased, which is never more than what is in flight.
select id, lease + 1, min(attempt + 1, max_attempts + 1), due_at, max_attempts, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where trigger_id = ?1 and due_at >= ?3 and due_at <= ?2 and lease_until <= ?2
order by due_at, id
limit ?4
