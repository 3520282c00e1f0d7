-- Copies the row ?1 to the abandoned executions, with the cause ?2 at the time ?3. The outcome is
-- null if the execution did not end.
insert into abandoned_executions (
    delivery_id, app, trigger_id, event_id, reply_to, cause, outcome, status, message, at)
select
    o.id, t.app, o.trigger_id, o.event_id, coalesce(o.reply_to, ''), ?2, o.executed ->> 'outcome',
    o.executed ->> 'status', o.executed ->> 'message', ?3
from outbox o join triggers t on t.id = o.trigger_id
where o.id = ?1
