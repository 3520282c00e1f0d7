-- Reads the password hash of the principal ?1.
select password_hash from principals where id = ?1
