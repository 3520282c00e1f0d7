-- Counts the slots in use of the trigger ?1.
select count(*) from slots where trigger_id = ?1
