-- Counts the row ?1 in the loops, at the time ?2.
insert into loops (trigger_id, root_id, count, last_event_id, last_at)
select trigger_id, root_id, 1, event_id, ?2 from outbox where id = ?1
on conflict (trigger_id, root_id) do update set
    count = count + 1, last_event_id = excluded.last_event_id, last_at = excluded.last_at
