-- Notifies the other daemons. $1 is the payload: the sender, and the lanes that got rows.
--
-- The notification has a transaction of its own, for the reason in `tidegate.fan_out`. The commit
-- does not wait for the disk. A daemon that misses the notification finds the rows at its next
-- poll.
select set_config('synchronous_commit', 'off', true), pg_notify('tidegate_outbox', $1)
