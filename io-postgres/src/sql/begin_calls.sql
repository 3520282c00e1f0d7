-- Begins sync calls: one round trip and one commit.
--
-- $1 to $8 are the inboxes, targets and events of the calls, $9 to $13 their causes, $14 and $15
-- their keys and digests; each is an array with one element per call. $16 is the length of the
-- lease.
select * from tidegate.begin_calls(p_lease_us => $16, p_calls => array(
    select row(
        reply_to, trigger_id, app, script, timeout_ms, type, subject, data,
        row(actor, root_id, parent_id, depth, traceparent)::tidegate.cause, key, digest)::tidegate.sync_call
    from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) with ordinality c (
        reply_to, trigger_id, app, script, timeout_ms, type, subject, data, actor, root_id, parent_id, depth, traceparent,
        key, digest, place)
    order by place))
