-- Puts the row ?1 back with the due time ?2. The attempt does not count. A row with a loss stays a
-- suspect.
update outbox set due_at = ?2, waits = lost = 0, suspect = lost > 0, turn = turn + 1 where id = ?1
