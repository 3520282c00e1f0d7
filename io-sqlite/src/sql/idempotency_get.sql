select digest, event_ids from idempotency_keys where app = ?1 and key = ?2
