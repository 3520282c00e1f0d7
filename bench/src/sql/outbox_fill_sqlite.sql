-- Inserts ?2 rows into lane ?1, as emit writes them. All rows are due for an hour; their due times
-- increase.
with recursive
    numbers (n) as (select 1 where ?2 > 0 union all select n + 1 from numbers where n < ?2),
    ids (n, id) as materialized (select n, randomblob(16) from numbers)
insert into outbox (
    trigger_id, due_at, max_attempts, base_ms, max_ms, jitter, timeout_ms, depth, enqueued_at, time, event_id, root_id,
    backoff, source, type, subject, actor, data)
select
    t.id, b.start + i.n, t.max_attempts, t.base_ms, t.max_ms, t.jitter, t.timeout_ms, 0, b.start, b.start, i.id, i.id,
    t.backoff, 'app', 'go', 'order/1', 'admin', '{"order":1,"customer":"ada","total":12.50}'
from ids i
cross join (select (unixepoch() - 3600) * 1000000 as start) b
cross join triggers t
where t.id = ?1
