select count(*) from raw.outbox
