-- The binary collation orders by bytes. The prefix is compared by its length in characters, which is the same in both.
select key, value, version, updated_at from kv
where app = ?1 and collection = ?2 and key > ?3 and key >= ?4 and substr(key, 1, length(?4)) = ?4
order by key
limit ?5
