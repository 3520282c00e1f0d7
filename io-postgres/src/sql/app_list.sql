select name, created_at from tidegate.apps order by name
