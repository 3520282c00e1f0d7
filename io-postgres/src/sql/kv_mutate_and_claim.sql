-- Puts and deletes values as `kv_mutate` does, then claims the new rows inline.
--
-- $1 to $11 are the parameters of `kv_mutate`, $12 to $15 those of `tidegate.claim_written`. First
-- come the rows of the mutations, then the rows of the claim, in which the columns of the mutations
-- are null.
with mutated as materialized (
    select m.status, m.version, m.updated_at, m.event_id as emitted_id, m.woken
    from tidegate.kv_mutate(p_mutations => array(
        select row(
            app, collection, key, value, guard, version,
            row(actor, root_id, parent_id, depth, traceparent)::tidegate.cause)::tidegate.kv_mutation
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) m (
            app, collection, key, value, guard, version, actor, root_id, parent_id, depth, traceparent))) m
)
select m.*, (null::tidegate.exchanged).* from mutated m
union all
select null, null, null, null, null, c.*
from tidegate.claim_written(
    p_written => array(select m.woken from mutated m where m.woken is not null),
    p_rows_max => $12, p_closed_lanes => $13, p_lease_us => $14, p_lost_message => $15) c
