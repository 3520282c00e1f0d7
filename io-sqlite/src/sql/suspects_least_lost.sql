-- The fewest losses of the suspects of the lane ?1 that are due at the time ?2.
select min(lost) from outbox where suspect and trigger_id = ?1 and due_at <= ?2 having count(*) > 0
