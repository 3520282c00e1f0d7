-- Puts the deliveries of the next letters back in the outbox, in their state before the first
-- attempt, and marks the letters as redriven.
--
-- $1 to $9 are the fields of `tidegate.letter_selection`, $10 is the most letters. A letter of a
-- deleted trigger goes to the trigger that has its name and source now. The statement skips the
-- letter if there is none. If two redrives select the same letters, the second waits for
-- the locks of the first and then selects none of them.
with picked as materialized (
    select l.* from tidegate.dead_letters l
    where tidegate.selects_letter(
        p_selection => row($1, $2, $3, $4, $5, $6, $7, $8, $9)::tidegate.letter_selection, p_letter => l)
    order by l.id
    limit $10
    for update of l
), checked as materialized (
    select p.*, n.id as living_id
    from picked p join tidegate.triggers t on t.id = p.trigger_id
    left join tidegate.triggers n on n.deleted_at is null
        and n.id = case when t.deleted_at is null then t.id else (
            select s.id from tidegate.triggers s
            where s.app = p.app and s.name = p.trigger_name and s.source = t.source and s.deleted_at is null) end
), redriven as (
    insert into tidegate.outbox (
        trigger_id, due_at, enqueued_at, time, event_id, max_attempts, policy_id, timeout_ms, redrive_generation,
        previous_letter_id, event, data)
    select
        living_id, now.at, now.at, time, event_id, max_attempts, policy_id, timeout_ms, redrive_generation + 1, id, event,
        data
    from checked cross join (select clock_timestamp() as at) now
    where living_id is not null
    order by id
    returning trigger_id
), marked as (
    update tidegate.dead_letters l set resolution = 'redriven'
    from checked where l.id = checked.id and checked.living_id is not null
)
select
    count(*) as matched, count(*) filter (where living_id is null) as skipped, max(id) as last,
    coalesce((select array_agg(distinct trigger_id) from redriven), '{}') as woken
from checked
