update outbox set executed = ?2 where id = ?1
