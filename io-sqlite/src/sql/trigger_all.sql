-- Lists the triggers of all apps by app and name.
select id, app, name, spec, paused, registered_by, version from triggers
where source <> 'invoke' and deleted_at is null
order by app, name
