-- Reads the row ?1 if the claim with the lease ?2 is valid: the row has this lease number and is
-- not released. An expired lease is valid. The result is true if the row is executed.
select executed is not null from outbox where id = ?1 and lease = ?2 and lease_until > 0
