-- Removes up to ?3 records of the kind ?1 from before ?2, the oldest first.
delete from loops where (trigger_id, root_id) in (
    select trigger_id, root_id from loops where ?1 = 'loops' and last_at < ?2 order by last_at limit ?3)
