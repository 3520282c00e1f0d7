select password_hash from principals where id = ?1
