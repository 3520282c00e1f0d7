-- Expires all leases when the file is opened. One process at a time has the file, so the process
-- that held these leases is gone. The value 1 is a time in 1970; the value 0 would mean that the
-- row is not leased.
update outbox set lease_until = 1 where lease_until > 0
