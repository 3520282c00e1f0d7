-- Puts the row ?1 back with the due time ?2, counts the attempt, and appends the failed attempt ?3
-- to its history.
update outbox set
    due_at = ?2, waits = 1, turn = turn + 1, attempt = min(attempt + 1, max_attempts + 1),
    failed = json_insert(coalesce(failed, '[]'), '$[#]', json(?3))
where id = ?1
