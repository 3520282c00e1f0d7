-- Extends the leases of the claims ?1, a JSON array of [delivery, lease], until ?2. ?3 is the time.
-- An expired lease of a lane with a limit is not extended, because another row may have taken its
-- slot. The statement returns the claims that it extended; the others are fenced. The function on
-- Postgres returns the fenced claims and the time.
update outbox set lease_until = ?2
where lease_until > 0 and id in (select value ->> 0 from json_each(?1))
  and (id, lease) in (select value ->> 0, value ->> 1 from json_each(?1))
  and (lease_until > ?3
    or not exists (select 1 from triggers t where t.id = outbox.trigger_id and t.max_concurrency is not null))
returning id, lease
