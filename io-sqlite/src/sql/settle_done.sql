-- Deletes the row ?1 if its turn is ?2, so that the claim that lists this turn holds the row. A row
-- that is executed has no slot, and is settled by other statements.
delete from outbox where id = ?1 and turn = ?2 and executed is null
