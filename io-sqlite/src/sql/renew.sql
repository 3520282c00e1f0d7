-- Extends the claim ?1 until ?2, for all rows that it holds. The function on Postgres also checks
-- the claims of the request.
update claims set lease_until = ?2 where lease = ?1
