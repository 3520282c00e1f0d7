-- Sets the password hash of a principal.
update tidegate.principals set password_hash = $2 where id = $1
