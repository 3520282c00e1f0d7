select status, version, updated_at, event_id as emitted_id, woken from tidegate.kv_mutate($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
