-- Reads the lane of a sync call: the HTTP trigger ?1, or, if ?1 is null, the invocations of the app
-- ?2 with the script ?3.
select t.id, t.app, t.name, t.version, t.timeout_ms, t.registered_by, t.standing, t.max_concurrency, t.paused,
    0 as deleted, case when ?3 is null then t.handler_kind else 'script' end as handler_kind,
    coalesce(?3, t.handler_name) as handler_name, s.version as script_version
from triggers_with_standing t
left join scripts s on s.app = t.app
    and s.name = case when ?3 is not null then ?3 when t.handler_kind = 'script' then t.handler_name end
where t.enabled and t.deleted_at is null
  and case when ?1 is null then t.app = ?2 and t.source = 'invoke' else t.id = ?1 and t.source = 'http' end
