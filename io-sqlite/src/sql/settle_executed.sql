-- Stores the outcome ?2 of the sync execution ?1. The row stays until its reply is delivered.
update outbox set executed = ?2 where id = ?1
