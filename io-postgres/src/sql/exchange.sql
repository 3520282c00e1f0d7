-- Settles finished deliveries and claims new ones: one round trip and one commit.
select * from tidegate.exchange($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
