-- Removes up to ?3 records of the kind ?1 from before ?2, the oldest first.
delete from dead_letters where id in (select key from old_records where kind = ?1 and at < ?2 order by at limit ?3)
