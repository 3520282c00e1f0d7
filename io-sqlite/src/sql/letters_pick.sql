-- Lists the next dead letters of the app ?1 for a redrive, a discard or a count, at most ?10.
-- `trigger_id` is the trigger of a redrive: the letter's own trigger, or if that is deleted the
-- trigger that has its name and source now. `gone` means that there is none. ?2 is a JSON array of
-- ids, ?3 a trigger name, ?4 a fingerprint, ?5 a reason. ?6 and ?7 limit the creation time: from
-- ?6, before ?7. ?9 is the cursor: only letters with a higher id. A filter that is null matches all
-- letters. ?8 is a resolution; null means only open letters, or all letters if ids are given.
-- Redriven letters never match. On Postgres each of the three actions is one statement.
select l.id, coalesce(n.id, l.trigger_id) as trigger_id, n.id is null as gone
from dead_letters l join triggers t on t.id = l.trigger_id
left join triggers n on n.deleted_at is null
    and (n.id = t.id or (t.deleted_at is not null and n.app = l.app and n.name = l.trigger_name and n.source = t.source))
where l.app = ?1 and l.resolution is not 'redriven'
  and (?2 is null or l.id in (select value from json_each(?2)))
  and (?3 is null or l.trigger_name = ?3) and (?4 is null or l.fingerprint = ?4) and (?5 is null or l.reason = ?5)
  and (?6 is null or l.created_at >= ?6) and (?7 is null or l.created_at < ?7)
  and (l.resolution is ?8 or (?8 is null and ?2 is not null))
  and l.id > coalesce(?9, 0)
order by l.id
limit ?10
