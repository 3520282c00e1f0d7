-- Gives the trigger ?2 of the app ?1 the name ?3, unless another trigger has this name. The column
-- `spec` contains the name too, so the statement changes both.
update triggers set name = ?3, spec = json_set(spec, '$.name', ?3), version = version + 1
where app = ?1 and name = ?2 and source <> 'invoke' and deleted_at is null
  and not exists (select 1 from triggers where app = ?1 and name = ?3 and deleted_at is null)
