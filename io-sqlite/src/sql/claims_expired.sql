-- Reads the claims of the lane ?1 that have expired at the time ?2.
select lease, claimed_at, rows_left, slots, deliveries, starts from claims where trigger_id = ?1 and lease_until <= ?2
