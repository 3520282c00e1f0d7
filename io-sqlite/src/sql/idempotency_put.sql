-- Stores the idempotency key of a request, with the ids of its events.
insert into idempotency_keys (app, key, digest, event_ids, created_at) values (?1, ?2, ?3, ?4, ?5)
