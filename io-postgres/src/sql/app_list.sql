-- Lists the apps by name.
select name, created_at from tidegate.apps order by name
