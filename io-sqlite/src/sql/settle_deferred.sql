-- Puts the row ?1 back with the due time ?2. The attempt does not count.
update outbox set due_at = ?2, waits = 1, turn = turn + 1, attempt = min(attempt, max_attempts) where id = ?1
