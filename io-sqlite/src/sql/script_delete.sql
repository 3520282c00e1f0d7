-- Deletes a script.
delete from scripts where app = ?1 and name = ?2
