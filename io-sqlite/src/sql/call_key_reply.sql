-- Stores the reply ?2 under the idempotency key of the call with the delivery ?1.
update call_keys set reply = ?2
where delivery_id = ?1 and (app, key) = (
    select t.app, o.call_key from outbox o join triggers t on t.id = o.trigger_id where o.id = ?1)
