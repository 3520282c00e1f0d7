-- Reads one value.
select key, value::text as value, version, updated_at from tidegate.kv where app = $1 and collection = $2 and key = $3
