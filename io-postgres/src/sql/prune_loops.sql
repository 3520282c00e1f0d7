-- Removes up to $3 records of the kind $1 that are older than $2, the oldest first. Another daemon
-- may remove the same records at the same time, so locked ones are skipped.
delete from tidegate.loops where (trigger_id, root_id) in (
    select trigger_id, root_id from tidegate.loops
    where $1 = 'loops' and last_at < clock_timestamp() - $2 * interval '1 microsecond'
    order by last_at limit $3
    for update skip locked)
