-- Lists the cron triggers with a tick that is due at ?1 or unknown. On Postgres the function
-- `tidegate.discover` returns them.
select id, json_extract(spec, '$.match.expression') as expression,
    coalesce(json_extract(spec, '$.match.time_zone'), 'UTC') as time_zone, next_tick
from triggers
where source = 'cron' and deleted_at is null and enabled and (next_tick is null or next_tick <= ?1)
order by id
