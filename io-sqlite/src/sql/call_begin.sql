-- Writes the row of a sync call. A claim of the same transaction holds the row, so it is not in the
-- index of its lane.
insert into outbox (
    trigger_id, due_at, waits, max_attempts, max_lost, backoff, base_ms, max_ms, jitter, timeout_ms, enqueued_at, reply_to,
    script, call_key, event_id, source, type, subject, time, actor, root_id, parent_id, depth, traceparent, data)
values (
    ?1, ?2, 0, 1, 1, 'constant', 1, 1, 0, ?3, ?2, ?4, ?5,
    ?15, ?6, 'http', ?7, ?8, ?2, ?9, ?10, ?11, ?12, ?13, ?14)
