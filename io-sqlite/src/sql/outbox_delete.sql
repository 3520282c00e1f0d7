-- Deletes the row ?1 of the outbox.
delete from outbox where id = ?1
