-- Counts the slots of the live claims of the lane ?1 at the time ?2.
select coalesce(sum(slots), 0) from claims where trigger_id = ?1 and lease_until > ?2
