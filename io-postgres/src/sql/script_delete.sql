-- Deletes a script.
delete from tidegate.scripts where app = $1 and name = $2
