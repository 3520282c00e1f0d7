-- Fans out $2 events to the trigger $1 through the function of the product, 1,000 in each call. All
-- rows are due for an hour. Their due times increase from call to call.
select count(*)
from tidegate.triggers t
cross join generate_series(0, ($2::bigint - 1) / 1000) call (n)
cross join lateral tidegate.fan_out(
    p_now => statement_timestamp() - interval '1 hour' + call.n * interval '1 microsecond',
    p_source => t.source, p_only_trigger => t.id,
    p_events => array(
        select row(
            t.app, gen_random_uuid(), t.name, 'order/1', '{"order":1,"customer":"ada","total":12.50}',
            row('admin', null, null, 0, null)::tidegate.cause)::tidegate.new_event
        from generate_series(1, least(1000, $2::bigint - call.n * 1000)))) f
where t.id = $1
