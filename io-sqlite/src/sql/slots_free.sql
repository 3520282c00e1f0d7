-- Deletes stale slots of the trigger ?1 at the time ?2. A slot is stale if the row has another
-- lease number, if the lease has expired, or if the row is executed and only waits for the delivery
-- of its reply.
delete from slots where trigger_id = ?1 and not exists (
    select 1 from outbox o
    where o.id = slots.delivery_id and o.lease = slots.lease and o.lease_until > ?2 and o.executed is null)
