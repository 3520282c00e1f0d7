-- Puts and deletes values, at most one mutation per key: one round trip and one commit.
--
-- Each parameter is an array with one element per mutation: $1 to $3 are the app, collection and
-- key, $4 the value, $5 and $6 the guard and its version, $7 to $11 the cause.
select status, version, updated_at, event_id as emitted_id, woken
from tidegate.kv_mutate(p_mutations => array(
    select row(
        app, collection, key, value, guard, version,
        row(actor, root_id, parent_id, depth, traceparent)::tidegate.cause)::tidegate.kv_mutation
    from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) m (
        app, collection, key, value, guard, version, actor, root_id, parent_id, depth, traceparent)))
