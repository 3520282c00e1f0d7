select count(*) from tidegate.outbox
