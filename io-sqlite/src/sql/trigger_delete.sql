-- Marks a trigger as deleted at the time ?3. The Postgres file reads the time from its own clock.
update triggers set deleted_at = ?3 where app = ?1 and name = ?2 and deleted_at is null
