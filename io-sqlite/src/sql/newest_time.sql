-- Reads the newest time in the file: the last kept time of the clock, the enqueue time of the
-- newest row, the newest claim or the newest floor. The clock of the store must be after it. No row
-- that a claim can take may be below its floor, and no two claims may have the same number.
select max(
    (select now from clock),
    coalesce((select enqueued_at from outbox order by id desc limit 1), 0),
    coalesce((select max(lease) from claims), 0),
    coalesce((select max(due_at) from floors), 0))
