-- Lists the values of a collection, ordered by key.
--
-- $3 is the key to continue from, $4 the prefix, $5 the least text that is greater than all keys
-- with the prefix, or null. The conditions select one range of the primary key. $6 is the most
-- values and $7 the most bytes of a page.
--
-- The page is cut twice. The stored size of a value costs nothing, but a compressed value is larger
-- when it is read. So only the values that pass the first cut are read to measure them.
select key, value::text as value, version, updated_at, found
from (
    select s.*, sum(octet_length(s.value::text)) over (order by s.key) as bytes
    from (
        select
            k.*, row_number() over by_key as nth, count(*) over () as found,
            sum(pg_column_size(k.value)) over by_key - pg_column_size(k.value) as stored_before
        from (
            select key, value, version, updated_at from tidegate.kv
            where app = $1 and collection = $2 and key > $3 and key >= $4 and ($5::text is null or key < $5)
            order by key
            limit $6 + 1
        ) k
        window by_key as (order by k.key)
    ) s
    where s.nth <= $6 and s.stored_before < $7
) p
where p.nth = 1 or p.bytes <= $7
order by p.key
