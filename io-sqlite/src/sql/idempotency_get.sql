-- Reads the request of the app ?1 with the idempotency key ?2.
select digest, event_ids from idempotency_keys where app = ?1 and key = ?2
