-- Lets cron triggers tick, and returns the triggers that got a row.
select * from tidegate.tick($1, $2, $3, $4)
