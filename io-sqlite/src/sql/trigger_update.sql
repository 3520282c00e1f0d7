-- Changes a trigger and increments its version. The schedule of a cron trigger restarts: ticks that
-- its old schedule missed are not fired.
update triggers set
    spec = ?3, source = ?4, on_set = ?5, on_delete = ?6, first_pattern = ?7, second_pattern = ?8, handler_kind = ?9,
    handler_name = ?10, max_attempts = ?11, backoff = ?12, base_ms = ?13, max_ms = ?14, jitter = ?15, max_age_ms = ?16,
    timeout_ms = ?17, max_concurrency = ?18, enabled = ?19, registered_by = ?20, version = version + 1, next_tick = null
where app = ?1 and name = ?2 and deleted_at is null
