-- Sets the password hash of a principal and ends its sessions, so that a stolen password or session
-- is of no use afterwards. The names of sessions begin with `SESSION_PREFIX` of the ports.
with ended as (
    delete from tidegate.tokens where principal = $1 and name like 'session.%'
)
update tidegate.principals set password_hash = $2 where id = $1
