-- Disables the trigger of the delivery ?1. The column `spec` contains the flag too, so the
-- statement changes both.
update triggers set
    enabled = 0, spec = json_set(spec, '$.enabled', json('false')), version = version + 1, next_tick = null
where id = (select trigger_id from outbox where id = ?1) and enabled
