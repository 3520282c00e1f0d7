-- Reads the enqueue time of the newest row. The clock of the store must not be behind it.
select coalesce((select enqueued_at from outbox order by id desc limit 1), 0)
