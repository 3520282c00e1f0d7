-- Reads one script.
select name, version, source, updated_at from tidegate.scripts where app = $1 and name = $2
