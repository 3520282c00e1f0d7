-- The last row's time: the clock must not lie behind what is in the file already.
select coalesce((select enqueued_at from outbox order by id desc limit 1), 0)
