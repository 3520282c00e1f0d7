-- Reads the next due rows of the lane ?1, with the values that they have after `lease.sql` has
-- leased them. ?2 is the time, ?3 the floor and ?4 the quota. The statement walks the lane in the
-- index outbox_lanes and skips leased rows. The only leased rows of a lane are its rows in flight.
select id, lease + 1, min(attempt + 1, max_attempts + 1), due_at, max_attempts, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where trigger_id = ?1 and due_at >= ?3 and due_at <= ?2 and lease_until <= ?2
order by due_at, id
limit ?4
