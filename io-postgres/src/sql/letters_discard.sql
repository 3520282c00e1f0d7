-- Marks the next letters of a selection as discarded.
--
-- $1 to $9 are the fields of `tidegate.letter_selection`, $10 is the most letters.
with picked as materialized (
    select l.id from tidegate.dead_letters l
    where tidegate.selects_letter(
        p_selection => row($1, $2, $3, $4, $5, $6, $7, $8, $9)::tidegate.letter_selection, p_letter => l)
    order by l.id
    limit $10
    for update of l
), marked as (
    update tidegate.dead_letters l set resolution = 'discarded' from picked where l.id = picked.id
)
select count(*) as matched, 0::bigint as skipped, max(id) as last, '{}'::bigint[] as woken from picked
