-- Emits all events of one request as `emit_events` does, then claims the new rows inline.
--
-- $1 to $11 are the parameters of `emit_events`, $12 to $15 those of `tidegate.claim_written`.
-- First come the rows of the events, then the rows of the claim, in which the columns of the events
-- are null.
with emitted as materialized (
    select e.status, e.event_id as emitted_id, e.woken
    from tidegate.emit_events(
        p_app => $1, p_types => $2, p_subjects => $3, p_data => $4,
        p_cause => row($5, $6, $7, $8, $9)::tidegate.cause, p_key => $10, p_digest => $11) e
)
select e.*, (null::tidegate.exchanged).* from emitted e
union all
select null, null, null, c.*
from tidegate.claim_written(
    p_written => array(select w.lane from emitted e cross join unnest(e.woken) w (lane)),
    p_rows_max => $12, p_closed_lanes => $13, p_lease_us => $14, p_lost_message => $15) c
