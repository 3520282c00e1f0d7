-- Disables or enables the principal ?1.
update principals set disabled = ?2 where id = ?1
