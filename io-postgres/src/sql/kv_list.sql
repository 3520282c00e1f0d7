-- Lists the values of a collection, ordered by key.
--
-- $3 is the key to continue from, $4 the prefix, $5 the least text that is greater than all keys
-- with the prefix, or null. The conditions select one range of the primary key. $6 is the most
-- entries and $7 the most bytes of their keys and values. The first entry is always listed. `found`
-- is the number of entries without the limit on bytes. SQLite reads row by row and counts the bytes
-- itself; here the client would have to receive all rows.
select key, value::text as value, version, updated_at, found
from (
    select key, value, version, updated_at, count(*) over () as found, row_number() over in_order as place,
           sum(octet_length(key) + octet_length(value::text)) over in_order as bytes
    from (
        select key, value, version, updated_at from tidegate.kv
        where app = $1 and collection = $2 and key > $3 and key >= $4 and ($5::text is null or key < $5)
        order by key
        limit $6
    ) page
    window in_order as (order by key rows unbounded preceding)
) measured
where place = 1 or bytes <= $7
order by key
