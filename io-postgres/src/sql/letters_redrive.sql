-- Puts the next letters' deliveries back in the outbox as they were before their first attempt, and marks the letters. Who
-- comes at the same time waits for the letters' locks, and then finds them redriven.
--
-- $2 are ids, $3 a trigger's name, $4 a fingerprint, $5 a reason, $6 and $7 from and before when, $8 a resolution, $9 an
-- id; null means any, but of the resolution: open, unless ids are given.
with picked as materialized (
    select l.* from tidegate.dead_letters l
    where l.app = $1 and l.resolution is distinct from 'redriven'
      and ($2::bigint[] is null or l.id = any ($2))
      and ($3::text is null or l.trigger_name = $3) and ($4::text is null or l.fingerprint = $4)
      and ($5::text is null or l.reason = $5)
      and ($6::timestamptz is null or l.created_at >= $6) and ($7::timestamptz is null or l.created_at < $7)
      and (l.resolution is not distinct from $8 or ($8::text is null and $2 is not null))
      and l.id > coalesce($9, 0)
    order by l.id
    limit $10
    for update of l
), told as materialized (
    select p.*, t.deleted_at is not null as gone from picked p join tidegate.triggers t on t.id = p.trigger_id
), made as (
    insert into tidegate.outbox (
        trigger_id, due_at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, enqueued_at,
        redrive_generation, previous_letter_id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
        traceparent, data)
    select
        trigger_id, now.at, max_attempts, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, now.at,
        redrive_generation + 1, id, event_id, source, type, subject, time, actor, root_id, parent_id, depth,
        traceparent, data
    from told cross join (select clock_timestamp() as at) now
    where not gone
    order by id
    returning trigger_id
), marked as (
    update tidegate.dead_letters l set resolution = 'redriven' from told where l.id = told.id and not told.gone
)
select
    count(*) as matched, count(*) filter (where gone) as skipped, max(id) as last,
    coalesce((select array_agg(distinct trigger_id) from made), '{}') as woken
from told
