-- Leases the row ?1 from ?2 until ?3. If the row has an expired lease, the lost attempt is recorded
-- with the message ?4. A claim after the last attempt executes nothing, so the loss of such a claim
-- is not recorded.
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
