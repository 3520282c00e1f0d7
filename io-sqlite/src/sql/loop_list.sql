-- Lists the loops of the app ?1 that were cut, the latest first, at most ?2.
select t.name as trigger_name, l.root_id, l.count, l.last_event_id, l.last_at
from loops l join triggers t on t.id = l.trigger_id
where t.app = ?1
order by l.last_at desc, l.root_id desc
limit ?2
