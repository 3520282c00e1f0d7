-- Takes the row ?1 out of its expired claim, if its turn is ?2, and makes it a suspect that was
-- lost. The claim was made at ?3. ?4 is the time, ?5 the back-off after a first loss and ?6 the
-- message of a lost attempt. A row with its last permitted loss was not claimed to be executed, so
-- nothing is recorded. If it has one attempt, one loss is permitted.
update outbox set
    failed = case when lost < iif(max_attempts = 1, 1, max_lost)
        then json_insert(coalesce(failed, '[]'), '$[#]', json_object(
            'attempt', attempt + 1, 'started_at', ?3, 'duration', null, 'error', 'lost', 'message', ?6))
        else failed end,
    due_at = ?4 + ?5 * (1 << min(lost, iif(max_attempts = 1, 1, max_lost) - 1, 5)),
    lost = min(lost + 1, iif(max_attempts = 1, 1, max_lost)),
    turn = turn + 1,
    waits = 0,
    suspect = 1
where id = ?1 and turn = ?2
