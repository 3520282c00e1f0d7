-- Stores the idempotency key of a call. It replaces the key of an earlier call that failed.
insert or replace into call_keys (app, key, digest, delivery_id, lease, created_at) values (?1, ?2, ?3, ?4, ?5, ?6)
