-- Takes the row ?1 from an expired claim that was made at ?2. The lost attempt is recorded with the
-- message ?3. A claim after the last attempt executes nothing, so the loss of such a claim is not
-- recorded.
update outbox set
    failed = case when attempt < max_attempts
        then json_insert(coalesce(failed, '[]'), '$[#]', json_object(
            'attempt', attempt + 1, 'started_at', ?2, 'duration', null, 'error', 'lost', 'message', ?3))
        else failed end,
    turn = turn + 1,
    attempt = min(attempt + 1, max_attempts + 1)
where id = ?1
