-- Ends the claim ?2 of the row ?1, and the row with it. Unless the claim is valid it changes nothing.
delete from outbox where id = ?1 and lease = ?2 and lease_until > 0
