-- Whether the first suspect of the lane ?1 that is due at the time ?2 was lost.
select lost > 0 from outbox where suspect and trigger_id = ?1 and due_at <= ?2 order by due_at, id limit 1
