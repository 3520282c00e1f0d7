-- Emits all events of one request as `emit_events` does, and claims new rows inline.
--
-- $1 to $11 are the parameters of `emit_events`, $12 to $14 the room. First come the rows of the
-- events, then the rows of the claim, in which the columns of the events are null.
with emitted as materialized (
    select e.status, e.event_id as emitted_id, e.woken, e.claims, e.places
    from tidegate.emit_events(
        p_app => $1, p_types => $2, p_subjects => $3, p_data => $4,
        p_cause => row($5, $6, $7, $8, $9)::tidegate.cause, p_key => $10, p_digest => $11,
        p_room => row($12, $13, $14)::tidegate.inline_room) e
)
select e.status, e.emitted_id, e.woken, (null::tidegate.exchanged).* from emitted e
union all
select null, null, null, c.*
from tidegate.claimed_rows(
    p_claims => array(select c.claim from emitted e cross join unnest(e.claims) c (claim)),
    p_places => array(select p.place from emitted e cross join unnest(e.places) p (place))) c
