-- Checks that the server answers. The reason why it allows no writes is null while it does.
select case
    when pg_is_in_recovery() then 'the server is in recovery: it is a standby'
    when current_setting('transaction_read_only') = 'on' then 'default_transaction_read_only is on'
end as read_only
