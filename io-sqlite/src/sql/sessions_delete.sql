-- Ends the sessions of the principal ?1. Their names begin with `SESSION_PREFIX` of the ports.
delete from tokens where principal = ?1 and name glob 'session.*'
