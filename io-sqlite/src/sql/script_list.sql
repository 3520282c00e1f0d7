select name, version, source, updated_at from scripts where app = ?1 order by name
