-- Reads the password hash of a principal.
select password_hash from tidegate.principals where id = $1
