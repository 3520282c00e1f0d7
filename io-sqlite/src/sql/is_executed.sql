select executed is not null from outbox where id = ?1
