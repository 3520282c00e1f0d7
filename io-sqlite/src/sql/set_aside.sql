-- Takes the row ?1 out of the expired claim that held it ahead, if its turn is ?2, and makes it a
-- suspect that was not lost. A row that permits one loss is left: `lose.sql` counts it.
update outbox set waits = 0, suspect = 1, turn = turn + 1
where id = ?1 and turn = ?2 and iif(max_attempts = 1, 1, max_lost) > 1
