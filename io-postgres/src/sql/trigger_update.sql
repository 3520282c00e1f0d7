-- Replaces a trigger, and increments its version.
--
-- A cron trigger gets its next tick from the new schedule. Ticks that it missed under the old
-- schedule are not fired.
update tidegate.triggers set
    spec = $3::jsonb, source = $4, on_set = $5, on_delete = $6, first_pattern = $7, second_pattern = $8,
    handler_kind = $9, handler_name = $10, max_attempts = $11,
    policy_id = tidegate.policy_id($11, $12, $13, $14, $15, $16, $17), timeout_ms = $18, max_concurrency = $19,
    enabled = $20, registered_by = $21, version = version + 1, next_tick = null
where app = $1 and name = $2 and deleted_at is null
