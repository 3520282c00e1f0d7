-- Lists the values of a collection, ordered by key.
--
-- $3 is the key to continue from, $4 the prefix, $5 the least text that is greater than all keys
-- with the prefix, or null. The conditions select one range of the primary key.
select key, value::text as value, version, updated_at from tidegate.kv
where app = $1 and collection = $2 and key > $3 and key >= $4 and ($5::text is null or key < $5)
order by key
limit $6
