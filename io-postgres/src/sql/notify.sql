-- $1 names the sender, so that it does not wake itself. Not part of what it tells of: see tidegate.fan_out.
select pg_notify('tidegate_outbox', $1)
