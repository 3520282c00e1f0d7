-- Begins sync calls: one round trip and one commit.
--
-- $1 to $15 are the calls, $16 is the length of the lease.
select * from tidegate.begin_calls(
    p_calls => row($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)::tidegate.sync_calls,
    p_lease_us => $16)
