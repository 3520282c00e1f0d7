-- Deletes the principal ?1, with its roles and tokens.
delete from principals where id = ?1
