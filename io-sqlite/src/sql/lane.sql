-- What a claim needs to know of its lane: the trigger as it is now. Sync rows never wait: a claim finds only orphans.
select t.id, t.app, t.name, t.version, t.handler_kind, t.handler_name, t.registered_by, t.max_concurrency,
    t.deleted_at is not null as deleted, t.paused and t.deleted_at is null and t.source not in ('http', 'invoke') as waits, s.version as script_version, case
        when t.registered_by in ('admin', 'system') then 'allowed'
        when p.id is null then 'missing'
        when p.disabled then 'disabled'
        when p.admin or exists (
            select 1 from grants g where g.principal = p.id and g.app = t.app and g.role <> 'viewer') then 'allowed'
        else 'denied'
    end as standing
from triggers t
left join principals p on p.id = t.registered_by
left join scripts s on t.handler_kind = 'script' and s.app = t.app and s.name = t.handler_name
where t.id = ?1
