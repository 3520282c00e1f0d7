-- Lists the triggers of the app ?1 by name.
select id, app, name, spec, paused, registered_by, version from triggers
where app = ?1 and source <> 'invoke' and deleted_at is null
order by name
