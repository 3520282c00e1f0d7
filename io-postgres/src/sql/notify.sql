-- $1 names the sender, so that it does not wake itself, and lanes. Not part of what it tells of: see tidegate.fan_out. It need not
-- outlive a crash of the server, nor keep the disk busy while a claim waits for it: whoever misses it polls.
select set_config('synchronous_commit', 'off', true), pg_notify('tidegate_outbox', $1)
