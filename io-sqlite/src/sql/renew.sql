-- Prolongs what is still held. What it does not return is held no more.
update outbox set lease_until = ?2
where lease_until > 0 and id in (select value ->> 0 from json_each(?1))
  and (id, lease) in (select value ->> 0, value ->> 1 from json_each(?1))
returning id, lease
