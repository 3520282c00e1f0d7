-- Removes up to $3 records of the kind $1 that are older than $2, the oldest first. Another daemon
-- may remove the same records at the same time, so locked ones are skipped.
delete from tidegate.abandoned_executions where delivery_id = any(array(
    select delivery_id from tidegate.abandoned_executions
    where delivery_id in (
        select key::bigint from tidegate.old_records
        where kind = $1 and at < clock_timestamp() - $2 * interval '1 microsecond'
        order by at limit $3)
    for update skip locked))
