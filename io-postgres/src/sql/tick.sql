select * from tidegate.tick($1, $2, $3, $4)
