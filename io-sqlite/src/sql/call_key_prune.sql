-- Deletes the idempotency keys of calls that are older than ?1.
delete from call_keys where created_at < ?1
