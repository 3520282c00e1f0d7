-- Revokes the role of the principal ?1 in the app ?2.
delete from grants where principal = ?1 and app = ?2
