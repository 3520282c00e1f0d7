-- Leases the row ?1 for the first time or anew. A lease that ran out is an attempt that was lost, unless the claim was one
-- beyond the last attempt, which executes nothing.
update outbox set
    failed = case when lease_until > 0 and attempt <= max_attempts
        then json_insert(coalesce(failed, '[]'), '$[#]', json_object(
            'attempt', attempt, 'started_at', leased_at, 'duration', null, 'error', 'lost', 'message', ?4))
        else failed end,
    lease = lease + 1,
    lease_until = ?3,
    leased_at = ?2,
    attempt = min(attempt + 1, max_attempts + 1)
where id = ?1
