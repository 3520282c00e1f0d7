-- All events of one request, and its idempotency key: one round trip and one commit.
select status, event_id as emitted_id, woken from tidegate.emit_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
