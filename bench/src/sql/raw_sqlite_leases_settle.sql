delete from outbox where id in (select value from json_each(?1)) and lease_until > 0
