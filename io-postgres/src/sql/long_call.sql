-- Gives the statements of this transaction more time. $1 is the limit in milliseconds.
select set_config('statement_timeout', $1, true)
