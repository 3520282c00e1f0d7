-- Creates a trigger with version 1.
insert into triggers (
    app, name, spec, source, on_set, on_delete, first_pattern, second_pattern, handler_kind, handler_name,
    max_attempts, max_lost, backoff, base_ms, max_ms, jitter, max_age_ms, timeout_ms, max_concurrency, enabled,
    registered_by, version)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, 1)
