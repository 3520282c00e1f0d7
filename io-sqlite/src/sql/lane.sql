-- Reads the lane of a claim: the current state of the trigger ?1, and the floor of the lane.
-- `is_paused` means that its rows must not be claimed. Rows of sync calls never wait: a claim finds
-- only calls whose daemon died.
select t.id, t.app, t.name, t.version, t.handler_kind, t.handler_name, t.registered_by, t.standing, t.max_concurrency,
    t.deleted_at is not null as deleted, s.version as script_version,
    t.paused and t.deleted_at is null and t.source not in ('http', 'invoke') as is_paused,
    coalesce(f.due_at, -1) as floor_due, coalesce(f.id, 0) as floor_id
from triggers_with_standing t
left join scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
left join floors f on f.trigger_id = t.id
where t.id = ?1
