-- The same, and a claim of at most $14 of the new rows, but none of the lanes $15: see emit_and_claim.
with mutated as materialized (
    select m.* from tidegate.kv_mutate($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) m
), lanes as materialized (
    select array_agg(l.trigger_id) as triggers, array_agg(least(l.rows, $14 - l.before)::integer) as quotas
    from (
        select m.woken as trigger_id, count(*) as rows, sum(count(*)) over (order by m.woken) - count(*) as before
        from mutated m
        where m.woken is not null and m.woken <> all ($15)
        group by m.woken
        order by m.woken
    ) l
    where l.before < $14
)
select m.status, m.version, m.updated_at, m.event_id as emitted_id, m.woken, (null::tidegate.exchanged).*
from mutated m
union all
select null, null, null, null, null, c.*
from (select * from lanes where triggers is not null) l
cross join lateral tidegate.exchange(
    $12, $13, '{}', '{}', '{}', '{}', '{}', null, l.triggers, l.quotas,
    array_fill(statement_timestamp(), array[cardinality(l.triggers)])) c
