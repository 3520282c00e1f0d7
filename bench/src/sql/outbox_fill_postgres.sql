-- Inserts $2 rows into lane $1, as emit writes them. All rows are due; their due times increase.
insert into tidegate.outbox (
    trigger_id, due_at, max_attempts, base_ms, max_ms, jitter, timeout_ms, depth, enqueued_at, time, event_id, root_id,
    backoff, source, type, subject, actor, data)
select
    t.id, b.start + n * interval '1 microsecond', t.max_attempts, t.base_ms, t.max_ms, t.jitter, t.timeout_ms, 0, b.start,
    b.start, e.id, e.id, t.backoff, 'app', 'go', 'order/1', 'admin',
    '{"order":1,"customer":"ada","total":12.50}'
from tidegate.triggers t
cross join (select clock_timestamp() - interval '1 hour' as start) b
cross join generate_series(1, $2::bigint) n
cross join lateral (select gen_random_uuid() as id where n > 0) e
where t.id = $1
