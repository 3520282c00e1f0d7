-- The daemons, and the end of the claims of a daemon that has died.
--
-- Without this, the rows of a killed daemon wait for the end of its leases. A session of the daemon
-- holds an advisory lock on the daemon's number. The server releases the lock when the process has
-- died, because the operating system closes its connections. So a free lock of a daemon with the
-- same name means that its process is gone: the one that starts now is its successor.

-- The first key of the advisory locks. The second one is the number of the daemon.
create function tidegate.daemon_locks() returns integer immutable language sql as 'select 1952736357';

-- Whether no session holds the lock of a daemon.
--
-- Parameters: the number of the daemon.
-- Returns: a boolean.
-- Locks: the number of the daemon, until the function ends.
-- Changes: nothing.
create function tidegate.is_gone(p_daemon integer) returns boolean language plpgsql as $$
begin
    if pg_try_advisory_lock(tidegate.daemon_locks(), p_daemon) then
        return pg_advisory_unlock(tidegate.daemon_locks(), p_daemon);
    end if;
    return false;
end
$$;

-- Ends the claims of a daemon.
--
-- The leases end a little later than now: a discovery that runs at the same time may have read the
-- clock already, and searches only leases that end later than those it has seen.
--
-- Parameters: the number of the daemon.
-- Returns: nothing.
-- Locks: the claims of the daemon.
-- Changes: claims, daemons.
create function tidegate.end_daemon(p_daemon integer) returns void language plpgsql as $$
begin
    update tidegate.claims c set lease_until = clock_timestamp() + interval '100 milliseconds'
    where c.daemon = p_daemon and c.lease_until > clock_timestamp() + interval '100 milliseconds';
    delete from tidegate.daemons d where d.daemon = p_daemon;
end
$$;

-- Registers the daemon of this session, which must stay open as long as the daemon runs. The claims
-- of dead daemons with the same name end.
--
-- A daemon whose session was lost calls the function again with its number. Then it ends no claims:
-- after a restart of the server, other daemons of the name may not have called it again yet.
--
-- Parameters: the name, and the number of the daemon if it has one.
-- Returns: the number of the daemon.
-- Locks: the number of the daemon until the end of the session; the table daemons.
-- Changes: daemons, claims.
create function tidegate.enter(p_name text, p_daemon integer) returns integer language plpgsql as $$
declare
    v_daemon integer;
begin
    lock table tidegate.daemons in share row exclusive mode;
    if p_daemon is not null and pg_try_advisory_lock(tidegate.daemon_locks(), p_daemon) then
        insert into tidegate.daemons (daemon, name) overriding system value values (p_daemon, p_name)
        on conflict do nothing;
        return p_daemon;
    end if;
    perform tidegate.end_daemon(p_daemon => d.daemon) from tidegate.daemons d
    where p_daemon is null and d.name = p_name and tidegate.is_gone(p_daemon => d.daemon);
    -- Daemons that never came back under their name. Their leases have ended.
    delete from tidegate.daemons d
    where d.entered_at < clock_timestamp() - interval '1 day' and tidegate.is_gone(p_daemon => d.daemon);
    -- After a restore of the database a number may belong to a daemon that runs.
    loop
        insert into tidegate.daemons (name) values (p_name) returning daemon into v_daemon;
        exit when pg_try_advisory_lock(tidegate.daemon_locks(), v_daemon);
        delete from tidegate.daemons d where d.daemon = v_daemon;
    end loop;
    return v_daemon;
end
$$;
