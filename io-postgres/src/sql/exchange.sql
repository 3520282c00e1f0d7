-- One round trip and one commit: see the function.
select * from tidegate.exchange($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
