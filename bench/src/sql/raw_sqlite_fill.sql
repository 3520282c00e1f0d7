with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ?1)
insert into outbox (trigger_id, due_at, time, event_id, type, subject, actor, data)
select 1, n, n, randomblob(16), 'go', 'order/' || n, 'admin', '{"order":1,"customer":"ada","total":12.50}'
from numbers
