-- Lists the scripts of an app by name.
select name, version, source, updated_at from tidegate.scripts where app = $1 order by name
