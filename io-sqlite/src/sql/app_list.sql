-- Lists all apps by name.
select name, created_at from apps order by name
