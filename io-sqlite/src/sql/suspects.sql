-- Lists the lanes with an expired claim and the open lanes with a suspect, each with the due time
-- of its first such row. ?1 is the time. The recursion jumps from trigger to trigger in the index
-- outbox_suspects.
with recursive quarantined (trigger_id) as (
    select min(trigger_id) from outbox where suspect
    union all
    select (select min(o.trigger_id) from outbox o where o.suspect and o.trigger_id > quarantined.trigger_id)
    from quarantined where quarantined.trigger_id is not null
),
found (trigger_id, due_at) as (
    select q.trigger_id, (select min(o.due_at) from outbox o where o.suspect and o.trigger_id = q.trigger_id)
    from quarantined q join triggers t on t.id = q.trigger_id
    where not t.paused or t.deleted_at is not null or t.source in ('http', 'invoke')
    union all
    select c.trigger_id, o.due_at
    from claims c cross join json_each(c.deliveries) r
    cross join outbox o on o.id = r.value ->> 0 and o.turn = r.value ->> 1
    where c.lease_until <= ?1
)
select trigger_id, min(due_at) as next_due from found group by trigger_id order by trigger_id
