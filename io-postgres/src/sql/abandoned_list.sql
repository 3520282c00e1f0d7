-- Lists the abandoned executions of an app, newest first. $2 is the id to continue from, or null.
select a.delivery_id, t.name as trigger_name, a.event_id, a.cause, a.outcome, a.status, a.message, a.at
from tidegate.abandoned_executions a join tidegate.triggers t on t.id = a.trigger_id
where a.app = $1 and ($2::bigint is null or a.delivery_id < $2)
order by a.delivery_id desc
limit $3
