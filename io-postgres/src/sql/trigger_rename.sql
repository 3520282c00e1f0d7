-- Gives the trigger $2 of the app $1 the name $3, unless another trigger has this name. The column
-- `spec` contains the name too, so the statement changes both.
update tidegate.triggers set name = $3, spec = jsonb_set(spec, '{name}', to_jsonb($3::text)), version = version + 1
where app = $1 and name = $2 and source <> 'invoke' and deleted_at is null
    and not exists (select from tidegate.triggers where app = $1 and name = $3 and deleted_at is null)
