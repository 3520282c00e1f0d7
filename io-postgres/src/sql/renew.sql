select * from tidegate.renew($1, $2, $3)
