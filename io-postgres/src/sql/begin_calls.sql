-- Begins sync calls: one round trip and one commit.
select * from tidegate.begin_calls($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
