-- Adds a claim. ?1 is its number, ?2 the lane, ?3 the end of the lease, ?4 the time, ?5 the number
-- of its rows, ?6 the number of its slots, ?7 its rows, ?8 the number of rows that start at once.
insert into claims (lease, trigger_id, lease_until, claimed_at, rows_left, slots, deliveries, starts)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
