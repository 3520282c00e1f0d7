-- Reads a value.
select key, value, version, updated_at from kv where app = ?1 and collection = ?2 and key = ?3
