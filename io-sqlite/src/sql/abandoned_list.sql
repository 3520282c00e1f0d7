-- Lists the abandoned executions of the app ?1, newest first, at most ?3. ?2 is the cursor: only
-- deliveries with a lower id. Null begins with the newest delivery.
select a.delivery_id, t.name as trigger_name, a.event_id, a.cause, a.outcome, a.status, a.message, a.at
from abandoned_executions a join triggers t on t.id = a.trigger_id
where a.app = ?1 and (?2 is null or a.delivery_id < ?2)
order by a.delivery_id desc
limit ?3
