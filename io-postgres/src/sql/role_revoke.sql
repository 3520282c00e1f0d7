delete from tidegate.grants where principal = $1 and app = $2
