-- What a claim needs to know of its lane: the trigger as it is now.
select t.app, t.name, t.version, t.handler_kind, t.handler_name, t.registered_by, t.max_concurrency,
    t.deleted_at is not null as deleted, t.paused and t.deleted_at is null as waits, s.version as script_version
from triggers t
left join scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
where t.id = ?1
