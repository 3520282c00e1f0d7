-- Registers the daemon of this session. Parameters: its name, and its number if it has one.
select tidegate.enter(p_name => $1, p_daemon => $2)
