-- Puts the row ?1 back with the due time ?2, counts the attempt, and appends the failed attempt ?3
-- to its history. A row with a loss stays a suspect.
update outbox set
    due_at = ?2, waits = lost = 0, suspect = lost > 0, turn = turn + 1, attempt = attempt + 1,
    failed = json_insert(coalesce(failed, '[]'), '$[#]', json(?3))
where id = ?1
