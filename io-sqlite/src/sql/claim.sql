-- The next due rows of one lane, leased. The subquery walks the lane's run of the index and passes over what is leased,
-- which is never more than what is in flight. A lease that ran out is an attempt that was lost, unless the claim was
-- one beyond the last attempt, which executes nothing.
update outbox set
    failed = case when lease_until > 0 and attempt <= max_attempts
        then json_insert(coalesce(failed, '[]'), '$[#]', json_object(
            'attempt', attempt, 'started_at', leased_at, 'duration', null, 'error', 'lost', 'message', ?6))
        else failed end,
    lease = lease + 1,
    lease_until = ?4,
    leased_at = ?2,
    attempt = min(attempt + 1, max_attempts + 1)
where id in (
    select id from outbox
    where trigger_id = ?1 and due_at >= ?3 and due_at <= ?2 and lease_until <= ?2
    order by due_at, id
    limit ?5)
returning id, lease, attempt, due_at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms,
    enqueued_at, redrive_generation, reply_to, handles_letter_id, event_id, source, type, subject, time, actor, root_id,
    parent_id, depth, traceparent, data
