-- Creates the lane for the invocations of the app ?1, if it does not exist. It is a trigger without
-- a rule or a handler of its own, and no list shows it.
insert into triggers (
    app, name, spec, source, handler_kind, handler_name, max_attempts, max_lost, backoff, base_ms, max_ms, jitter,
    timeout_ms, enabled, registered_by, version)
select ?1, 'invoke', '{}', 'invoke', 'native', 'invoke', 1, 1, 'constant', 1, 1, 0, 30000, 1, 'system', 1
where not exists (select 1 from triggers where app = ?1 and source = 'invoke')
