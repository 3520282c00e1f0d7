-- Deletes a principal, with its roles and tokens.
delete from tidegate.principals where id = $1
