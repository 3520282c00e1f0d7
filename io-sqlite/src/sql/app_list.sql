select name, created_at from apps order by name
