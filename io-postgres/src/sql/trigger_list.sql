-- Lists the triggers of an app by name, without the lane of its invocations.
select id, app, name, spec::text as spec, paused, registered_by, version from tidegate.triggers
where app = $1 and source <> 'invoke' and deleted_at is null
order by name
