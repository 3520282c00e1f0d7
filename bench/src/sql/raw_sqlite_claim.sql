select id, due_at, attempt + 1 as attempt, trigger_id, depth, time, event_id, type, subject, actor, data
from outbox
where trigger_id = ?1 and due_at > ?2 and due_at <= ?3
order by due_at, id
limit ?4
