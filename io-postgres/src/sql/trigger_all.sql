-- Lists the triggers of all apps by app and name, without the lanes of invocations.
select id, app, name, spec::text as spec, paused, registered_by, version from tidegate.triggers
where source <> 'invoke' and deleted_at is null
order by app, name
