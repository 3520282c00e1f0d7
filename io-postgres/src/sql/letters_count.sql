-- What a redrive would find now.
--
-- $2 are ids, $3 a trigger's name, $4 a fingerprint, $5 a reason, $6 and $7 from and before when, $8 a resolution, $9 an
-- id; null means any, but of the resolution: open, unless ids are given.
select
    count(*) as matched, count(*) filter (where gone) as skipped, max(id) as last, '{}'::bigint[] as woken
from (
    select l.id, t.deleted_at is not null as gone
    from tidegate.dead_letters l join tidegate.triggers t on t.id = l.trigger_id
    where l.app = $1 and l.resolution is distinct from 'redriven'
      and ($2::bigint[] is null or l.id = any ($2))
      and ($3::text is null or l.trigger_name = $3) and ($4::text is null or l.fingerprint = $4)
      and ($5::text is null or l.reason = $5)
      and ($6::timestamptz is null or l.created_at >= $6) and ($7::timestamptz is null or l.created_at < $7)
      and (l.resolution is not distinct from $8 or ($8::text is null and $2 is not null))
      and l.id > coalesce($9, 0)
    order by l.id
    limit $10
) l
