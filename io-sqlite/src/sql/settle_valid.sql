-- Of the claims in ?1, those that are valid: the row bears the lease and is leased, expired or not.
select o.id, o.lease from json_each(?1) c
join outbox o on o.id = c.value ->> 0
where o.lease = c.value ->> 1 and o.lease_until > 0
