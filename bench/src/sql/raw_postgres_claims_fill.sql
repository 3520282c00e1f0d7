insert into raw.outbox (trigger_id, due_at, event)
select
    1, now() + n * interval '1 microsecond' - interval '1 hour',
    convert_to(json_build_object(
        'time', now(), 'id', gen_random_uuid(), 'type', 'go', 'subject', 'order/' || n, 'actor', 'admin', 'depth', 0,
        'data', '{"order":1,"customer":"ada","total":12.50}'::json)::text, 'UTF8')
from generate_series(1, $1::bigint) n
