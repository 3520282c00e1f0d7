-- Deletes a value.
delete from kv where app = ?1 and collection = ?2 and key = ?3
