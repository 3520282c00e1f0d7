-- Disables or enables a principal.
update tidegate.principals set disabled = $2 where id = $1
