-- The process that held these leases is gone: this file has one process at a time. 1 is long past, and not "not leased".
update outbox set lease_until = 1 where lease_until > 0
