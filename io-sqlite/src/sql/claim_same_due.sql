-- Reads the rows of the lane ?1 that are due at ?2, as the floor is, with an id above ?3, the id of
-- the floor. ?4 is the quota. It is not a part of `claim.sql`, because SQLite seeks only to a due
-- time for `(due_at, id) > (?2, ?3)`, and would walk over the held rows that have this due time.
select id, turn, due_at, attempt + 1, lost, executed is null, max_attempts, max_lost, backoff, base_ms, max_ms, jitter,
    max_age_ms, timeout_ms, enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject,
    time, actor, root_id, parent_id, depth, traceparent, data
from outbox
where waits and trigger_id = ?1 and due_at = ?2 and id > ?3
order by id
limit ?4
