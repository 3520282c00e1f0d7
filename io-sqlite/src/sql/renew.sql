-- Extends the claim ?1 until ?2, for all rows that it holds. ?3 is the time. An expired claim of a
-- lane with a limit is not extended, because other rows may have taken its slots. The function on
-- Postgres also checks which rows the claims of the request hold.
update claims set lease_until = ?2
where lease = ?1
  and (lease_until > ?3
    or not exists (select 1 from triggers t where t.id = claims.trigger_id and t.max_concurrency is not null))
