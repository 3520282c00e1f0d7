-- Sets the next tick of the cron trigger ?1 to ?3, if its next tick is ?2. If the same tick is sent
-- more than once, only the first request finds the row. On Postgres a function does this for all
-- triggers of a request and also fans out.
update triggers set next_tick = ?3
where id = ?1 and next_tick is ?2 and source = 'cron' and deleted_at is null and enabled
returning app, name
