-- Reads the row ?1 if its turn is ?2: the claim that lists this turn holds the row. The result is
-- true if the row is executed.
select executed is not null from outbox where id = ?1 and turn = ?2
