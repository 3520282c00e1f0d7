-- Forgets slots whose delivery no longer bears the lease, whose lease is over, or that were executed and only wait for their
-- reply to be delivered.
delete from slots where trigger_id = ?1 and not exists (
    select 1 from outbox o
    where o.id = slots.delivery_id and o.lease = slots.lease and o.lease_until > ?2 and o.executed is null)
