-- Lists the values of a collection with the prefix ?4 and keys after ?3, at most ?5, in the byte
-- order of the keys. Text is compared by bytes here. The prefix is compared with `substr`, which
-- counts characters on both sides. The Postgres file gets the upper end of the prefix as a
-- parameter instead, because its planner needs both ends to read one part of the primary key.
select key, value, version, updated_at from kv
where app = ?1 and collection = ?2 and key > ?3 and key >= ?4 and substr(key, 1, length(?4)) = ?4
order by key
limit ?5
