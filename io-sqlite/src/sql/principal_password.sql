-- Sets the password hash of the principal ?1.
update principals set password_hash = ?2 where id = ?1
