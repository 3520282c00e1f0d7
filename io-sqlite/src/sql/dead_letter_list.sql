-- ?2 is a trigger's name, ?3 a fingerprint, ?4 whether only open ones, ?5 an id, ?7 one letter, ?8 a reason, ?9 a resolution;
-- null means any.
select id, delivery_id, app, trigger_name, trigger_version, handler_kind, handler_name, script_version, principal,
    reason, attempts, failed, fingerprint, enqueued_at, created_at, resolution, handler_failure, redrive_generation,
    previous_letter_id,
    event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data
from dead_letters
where app = ?1 and (?2 is null or trigger_name = ?2) and (?3 is null or fingerprint = ?3)
  and (not ?4 or resolution is null) and (?5 is null or id < ?5) and (?7 is null or id = ?7)
  and (?8 is null or reason = ?8) and (?9 is null or resolution = ?9)
order by id desc
limit ?6
