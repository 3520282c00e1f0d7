-- Deletes stale slots of the trigger ?1. A slot is stale if the row has another lease now, if the
-- row is not leased, or if the row is executed and only waits for the delivery of its reply. The
-- slot of an expired lease stays, because a renewal can extend the lease while the trigger has no
-- limit. The slot counts again when the trigger has a limit again.
delete from slots where trigger_id = ?1 and not exists (
    select 1 from outbox o
    where o.id = slots.delivery_id and o.lease = slots.lease and o.lease_until > 0 and o.executed is null)
