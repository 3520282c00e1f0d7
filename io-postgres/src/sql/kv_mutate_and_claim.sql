-- Puts and deletes values as `kv_mutate` does, and claims new rows inline.
--
-- $1 to $11 are the parameters of `kv_mutate`, $12 to $14 the room. First come the rows of the
-- mutations, then the rows of the claim, in which the columns of the mutations are null.
with mutated as materialized (
    select m.status, m.version, m.updated_at, m.event_id as emitted_id, m.woken, m.claim as row_claim, m.place
    from tidegate.kv_mutate(
        p_room => row($12, $13, $14)::tidegate.inline_room,
        p_mutations => array(
            select row(
                app, collection, key, value, guard, version,
                row(actor, root_id, parent_id, depth, traceparent)::tidegate.cause)::tidegate.kv_mutation
            from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) m (
                app, collection, key, value, guard, version, actor, root_id, parent_id, depth, traceparent))) m
)
select m.status, m.version, m.updated_at, m.emitted_id, m.woken, (null::tidegate.exchanged).* from mutated m
union all
select null, null, null, null, null, c.*
from tidegate.claimed_rows(
    p_claims => array(select m.row_claim from mutated m where m.row_claim is not null),
    p_places => array(select m.place from mutated m where m.row_claim is not null)) c
