-- Creates the lane of an app's invocations. It has no rule and no handler, and no list shows it.
with created as (
    insert into tidegate.triggers (
        app, name, spec, source, handler_kind, handler_name, max_attempts, policy_id, timeout_ms, enabled, registered_by,
        version)
    select $1, 'invoke', '{}', 'invoke', 'native', 'invoke', 1, 1, 30000, true, 'system', 1
    where not exists (select from tidegate.triggers where app = $1 and source = 'invoke')
    returning id
)
insert into tidegate.lanes (trigger_id) select id from created
