-- Reads a script.
select name, version, source, updated_at from scripts where app = ?1 and name = ?2
