-- Fires due ticks of cron triggers, and returns the triggers that got a row.
select * from tidegate.tick($1, $2, $3, $4)
