-- Of several that saw the same tick, one finds it here.
update triggers set next_tick = ?3
where id = ?1 and next_tick is ?2 and source = 'cron' and deleted_at is null and enabled
returning app, name
