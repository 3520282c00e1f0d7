select password_hash from tidegate.principals where id = $1
