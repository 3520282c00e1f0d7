-- Deletes the row ?1 if the claim with the lease ?2 is valid. Otherwise it changes nothing.
delete from outbox where id = ?1 and lease = ?2 and lease_until > 0
