-- Extends the leases of the claims ?1, a JSON array of [delivery, lease], until ?2. It returns the
-- claims that it extended; the others are no longer valid. The function on Postgres returns the
-- claims that are no longer valid, and the time.
update outbox set lease_until = ?2
where lease_until > 0 and id in (select value ->> 0 from json_each(?1))
  and (id, lease) in (select value ->> 0, value ->> 1 from json_each(?1))
returning id, lease
