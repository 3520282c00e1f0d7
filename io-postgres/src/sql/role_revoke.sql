-- Revokes the role of a principal in an app.
delete from tidegate.grants where principal = $1 and app = $2
