-- Emits all events of one request, with its idempotency key: one round trip and one commit.
--
-- $1 is the app, $2 to $4 are the events, $5 to $9 their cause, $10 and $11 the key and its digest.
select status, event_id as emitted_id, woken
from tidegate.emit_events(
    p_app => $1, p_types => $2, p_subjects => $3, p_data => $4,
    p_cause => row($5, $6, $7, $8, $9)::tidegate.cause, p_key => $10, p_digest => $11)
