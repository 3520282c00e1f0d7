-- Deletes a principal, with its grants and tokens.
delete from tidegate.principals where id = $1
