delete from call_keys where created_at < ?1
