-- $4 is the prefix, $5 the least text after all that begin with it: together they are one stretch of the primary key.
select key, value::text as value, version, updated_at from tidegate.kv
where app = $1 and collection = $2 and key > $3 and key >= $4 and ($5::text is null or key < $5)
order by key
limit $6
