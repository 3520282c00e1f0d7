-- The same, and a claim of at most $14 of the new rows, but none of the lanes $15. The claim is an exchange like any other: it
-- asks each lane for as many rows as it has got just now, and for none from before.
with emitted as materialized (
    select e.status, e.event_id, e.woken
    from tidegate.emit_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) e
), lanes as materialized (
    select array_agg(l.trigger_id) as triggers, array_agg(least(l.rows, $14 - l.before)::integer) as quotas
    from (
        select w.trigger_id, count(*) as rows, sum(count(*)) over (order by w.trigger_id) - count(*) as before
        from emitted e cross join unnest(e.woken) w (trigger_id)
        where w.trigger_id <> all ($15)
        group by w.trigger_id
        order by w.trigger_id
    ) l
    where l.before < $14
)
select e.status, e.event_id as emitted_id, e.woken, (null::tidegate.exchanged).*
from emitted e
union all
select null, null, null, c.*
from (select * from lanes where triggers is not null) l
cross join lateral tidegate.exchange(
    $12, $13, '{}', '{}', '{}', '{}', '{}', null, l.triggers, l.quotas,
    array_fill(statement_timestamp(), array[cardinality(l.triggers)])) c
