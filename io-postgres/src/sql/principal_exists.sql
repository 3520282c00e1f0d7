select exists (select from tidegate.principals where id = $1)
