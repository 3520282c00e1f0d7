-- The row ?1 if the claim ?2 of it is valid: the row bears the lease and is leased, expired or not. Whether it is executed.
select executed is not null from outbox where id = ?1 and lease = ?2 and lease_until > 0
