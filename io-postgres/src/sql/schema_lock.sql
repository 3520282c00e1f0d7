-- Tries to take the lock of migrations for this session. If another session holds the lock, its
-- process is the holder.
select pg_try_advisory_lock(1952736357, 0) as locked, (
    select l.pid from pg_locks l
    where l.locktype = 'advisory' and l.classid = 1952736357 and l.objid = 0 and l.objsubid = 2 and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
    limit 1
) as holder
