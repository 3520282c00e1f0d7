-- Deletes the idempotency keys of requests that are older than ?1.
delete from idempotency_keys where created_at < ?1
