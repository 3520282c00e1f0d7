-- Lists the deliveries of an app in the outbox, oldest first.
--
-- $2 is the trigger's name, $3 the state, $4 the id to continue from, $6 the id of one delivery.
-- Null selects all. $5 is the most deliveries and $7 the most bytes of a page, which is cut as in
-- `kv_list.sql`. A held row shows the attempt that its claim has begun.
with held as materialized (
    select l.id, coalesce(l.turn, 0) as turn, c.lease_until
    from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
)
select id, trigger_name, lost, max_attempts, due_at, enqueued_at, failed::text as failed, event_id, time, event,
    data::text as data, attempt, state, found
from (
    select s.*,
        sum(octet_length(s.data::text) + coalesce(octet_length(s.failed::text), 0)) over (order by s.id) as bytes
    from (
        select
            d.*, row_number() over by_id as nth, count(*) over () as found,
            sum(d.stored) over by_id - d.stored as stored_before
        from (
            select *, pg_column_size(r.data) + coalesce(pg_column_size(r.failed), 0) as stored from (
                select o.id, t.name::text as trigger_name, o.lost::integer as lost, o.max_attempts, o.due_at,
                    o.enqueued_at, o.failed, o.event_id, o.time, o.event, o.data,
                    o.attempt + (h.id is not null)::integer as attempt,
                    case when h.lease_until > clock_timestamp() then 'leased'
                        when o.due_at > clock_timestamp() then 'scheduled' else 'ready' end as state
                from tidegate.outbox o
                join tidegate.triggers t on t.id = o.trigger_id
                left join held h on h.id = o.id and h.turn = o.turn
                where t.app = $1 and ($2::text is null or t.name = $2) and o.id > coalesce($4, 0)
                  and ($6::bigint is null or o.id = $6)
            ) r
            where $3::text is null or r.state = $3
            order by r.id
            limit $5 + 1
        ) d
        window by_id as (order by d.id)
    ) s
    where s.nth <= $5 and s.stored_before < $7
) p
where p.nth = 1 or p.bytes <= $7
order by p.id
