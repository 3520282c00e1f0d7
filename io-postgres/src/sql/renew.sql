-- Renews leases, and returns the claims that are fenced.
select * from tidegate.renew($1, $2, $3)
