delete from tidegate.principals where id = $1
