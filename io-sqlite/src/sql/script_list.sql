-- Lists the scripts of the app ?1 by name.
select name, version, source, updated_at from scripts where app = ?1 order by name
