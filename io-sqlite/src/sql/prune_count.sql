-- Counts the records of the kind ?1 from before ?2, up to ?3. The Postgres file computes the time
-- from its own clock.
select count(*) from (select 1 from old_records where kind = ?1 and at < ?2 limit ?3)
