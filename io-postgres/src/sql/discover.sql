-- Lists the lanes with rows and the cron triggers that are due.
select * from tidegate.discover()
