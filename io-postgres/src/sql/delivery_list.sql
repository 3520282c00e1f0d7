-- Lists the deliveries of an app in the outbox, oldest first.
--
-- $2 is the trigger's name, $3 the state, $4 the id to continue from, $5 the most deliveries, $6
-- the id of one delivery. Null selects all. A held row shows the attempt that its claim has begun.
with held as materialized (
    select l.id, coalesce(l.turn, 0) as turn, c.lease_until
    from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
)
select * from (
    select o.id, t.name::text as trigger_name, o.lost::integer as lost, o.max_attempts, o.due_at, o.enqueued_at, o.failed::text as failed,
        o.event_id, o.time, o.event, o.data::text as data,
        o.attempt + (h.id is not null)::integer as attempt,
        case when h.lease_until > clock_timestamp() then 'leased' when o.due_at > clock_timestamp() then 'scheduled'
            else 'ready' end as state
    from tidegate.outbox o
    join tidegate.triggers t on t.id = o.trigger_id
    left join held h on h.id = o.id and h.turn = o.turn
    where t.app = $1 and ($2::text is null or t.name = $2) and o.id > coalesce($4, 0)
      and ($6::bigint is null or o.id = $6)
) d
where $3::text is null or d.state = $3
order by d.id
limit $5
