-- Counts the slots of the trigger ?1 whose leases are live at the time ?2.
select count(*) from slots
cross join outbox o on o.id = slots.delivery_id and o.lease = slots.lease
where slots.trigger_id = ?1 and o.lease_until > ?2
