-- Takes the row ?1 out of the expired claim that held it ahead, if its turn is ?2, and makes it a
-- suspect that was not lost. The claim was made at ?3. ?4 is the message of an attempt that never
-- began. A row that permits one loss is left: `lose.sql` counts it.
update outbox set
    failed = json_insert(coalesce(failed, '[]'), '$[#]', json_object(
        'attempt', attempt + 1, 'started_at', ?3, 'duration', null, 'error', 'never_began', 'message', ?4)),
    turn = turn + 1,
    waits = 0,
    suspect = 1
where id = ?1 and turn = ?2 and iif(max_attempts = 1, 1, max_lost) > 1
