-- Counts the letters of a selection: the letters that a redrive would find now.
--
-- $1 to $9 are the fields of `tidegate.letter_selection`, $10 is the most letters. `skipped` counts
-- letters of deleted triggers whose name no other trigger has now.
select
    count(*) as matched, count(*) filter (where trigger_is_deleted) as skipped, max(id) as last, '{}'::bigint[] as woken
from (
    select l.id, t.deleted_at is not null and not exists (
        select from tidegate.triggers s
        where s.app = l.app and s.name = l.trigger_name and s.source = t.source and s.deleted_at is null
    ) as trigger_is_deleted
    from tidegate.dead_letters l join tidegate.triggers t on t.id = l.trigger_id
    where tidegate.selects_letter(
        p_selection => row($1, $2, $3, $4, $5, $6, $7, $8, $9)::tidegate.letter_selection, p_letter => l)
    order by l.id
    limit $10
) l
