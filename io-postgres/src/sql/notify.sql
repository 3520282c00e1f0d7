-- Notifies the other daemons. $1 is the payload: the sender, and the lanes that got rows.
--
-- The notification has a transaction of its own: `tidegate.fan_out` says why. Its commit does not
-- wait for the disk. A daemon that misses the notification finds the rows by its next poll.
select set_config('synchronous_commit', 'off', true), pg_notify('tidegate_outbox', $1)
