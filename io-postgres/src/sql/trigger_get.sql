-- Reads one trigger.
select id, app, name, spec::text as spec, paused, registered_by, version from tidegate.triggers
where app = $1 and name = $2 and source <> 'invoke' and deleted_at is null
