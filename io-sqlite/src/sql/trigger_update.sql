-- Changes a trigger and increments its version. The schedule of a cron trigger restarts: ticks that
-- its old schedule missed are not fired.
update triggers set
    spec = ?3, source = ?4, on_set = ?5, on_delete = ?6, first_pattern = ?7, second_pattern = ?8, handler_kind = ?9,
    handler_name = ?10, max_attempts = ?11, max_lost = ?12, backoff = ?13, base_ms = ?14, max_ms = ?15, jitter = ?16,
    max_age_ms = ?17, timeout_ms = ?18, max_concurrency = ?19, enabled = ?20, registered_by = ?21, version = version + 1, next_tick = null
where app = ?1 and name = ?2 and deleted_at is null
