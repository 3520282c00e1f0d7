-- Creates a trigger and its lane, with the parts of the spec that SQL reads.
with created as (
    insert into tidegate.triggers (
        app, name, spec, source, on_set, on_delete, first_pattern, second_pattern, handler_kind, handler_name,
        max_attempts, policy_id, timeout_ms, max_concurrency, enabled, registered_by, version)
    values (
        $1, $2, $3::jsonb, $4, $5, $6, $7, $8, $9, $10, $11, tidegate.policy_id($11, $12, $13, $14, $15, $16, $17), $18,
        $19, $20, $21, 1)
    returning id
)
insert into tidegate.lanes (trigger_id) select id from created
