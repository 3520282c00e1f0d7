select * from raw.exchange($1, $2, $3)
