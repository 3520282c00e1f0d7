insert into claims (lease_until, deliveries) values (?1, ?2)
