-- Lists dead letters of the app ?1, newest first, at most ?6. ?2 is a trigger name, ?3 a
-- fingerprint, ?7 a letter id, ?8 a reason and ?9 a resolution. ?4 limits the list to open letters.
-- ?5 is the cursor: only letters with a lower id. A filter that is null matches all letters.
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
