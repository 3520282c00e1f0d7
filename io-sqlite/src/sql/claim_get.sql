-- Reads the claim ?1.
select lease, claimed_at, rows_left, slots, deliveries, starts from claims where lease = ?1
