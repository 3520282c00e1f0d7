-- Puts the row ?1 into the index of its lane. Its inline claim failed, so that it waits for an
-- exchange.
update outbox set waits = 1 where id = ?1
