update outbox set lease = lease + 1, lease_until = ?2, attempt = attempt + 1
where id in (
    select id from outbox
    where trigger_id = ?1 and due_at <= ?3 and lease_until <= ?3
    order by due_at, id
    limit ?4)
returning id, lease, trigger_id, attempt, depth, time, event_id, type, subject, actor, data
