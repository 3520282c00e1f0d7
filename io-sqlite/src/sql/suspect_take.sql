-- Takes the row ?1 out of the index of suspects, because a claim takes it.
update outbox set suspect = 0 where id = ?1
