insert into raw.outbox (trigger_id, due_at, time, event_id, type, subject, actor, data)
select
    1, now() + n * interval '1 microsecond' - interval '1 hour', now(), gen_random_uuid(), 'go', 'order/' || n, 'admin',
    '{"order":1,"customer":"ada","total":12.50}'
from generate_series(1, $1::bigint) n
