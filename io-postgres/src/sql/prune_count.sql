-- Counts the records of the kind $1 that are older than $2, up to $3.
select count(*) from (
    select 1 from tidegate.old_records where kind = $1 and at < clock_timestamp() - $2 * interval '1 microsecond' limit $3) found
