-- Lists the dead letters of an app, newest first.
--
-- $2 is the trigger's name, $3 the fingerprint, $4 true for open letters only, $5 the id to
-- continue from, $7 the id of one letter, $8 the reason, $9 the resolution. Null selects all. $6 is
-- the most letters and $10 the most bytes of a page, which is cut as in `kv_list.sql`.
select id, delivery_id, trigger_name, trigger_version, handler_kind, handler_name, script_version, principal, reason,
    attempts, failed::text as failed, fingerprint, enqueued_at, created_at, resolution,
    handler_failure::text as handler_failure, redrive_generation, previous_letter_id, event_id,
    time, event, data::text as data, found
from (
    select s.*, sum(octet_length(s.data::text) + octet_length(s.failed::text)) over (order by s.id desc) as bytes
    from (
        select
            l.*, row_number() over by_id as nth, count(*) over () as found,
            sum(l.stored) over by_id - l.stored as stored_before
        from (
            select *, pg_column_size(data) + pg_column_size(failed) as stored from tidegate.dead_letters
            where app = $1 and ($2::text is null or trigger_name = $2) and ($3::text is null or fingerprint = $3)
              and (not $4 or resolution is null) and ($5::bigint is null or id < $5) and ($7::bigint is null or id = $7)
              and ($8::text is null or reason = $8) and ($9::text is null or resolution = $9)
            order by id desc
            limit $6 + 1
        ) l
        window by_id as (order by l.id desc)
    ) s
    where s.nth <= $6 and s.stored_before < $10
) p
where p.nth = 1 or p.bytes <= $10
order by p.id desc
