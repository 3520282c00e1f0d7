-- Writes the row of a sync call. The row is leased to the daemon, and its first attempt is counted.
insert into outbox (
    trigger_id, due_at, lease, lease_until, leased_at, attempt, max_attempts, backoff, base_ms, max_ms, jitter,
    timeout_ms, enqueued_at, reply_to, script, call_key, event_id, source, type, subject, time, actor, root_id,
    parent_id, depth, traceparent, data)
values (
    ?1, ?2, 1, ?3, ?2, 1, 1, 'constant', 1, 1, 0,
    ?4, ?2, ?5, ?6, ?16, ?7, 'http', ?8, ?9, ?2, ?10, ?11,
    ?12, ?13, ?14, ?15)
