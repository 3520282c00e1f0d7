-- Reads a trigger by its name.
select id, app, name, spec, paused, registered_by, version from triggers
where app = ?1 and name = ?2 and source <> 'invoke' and deleted_at is null
