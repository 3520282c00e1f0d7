insert or replace into slots (trigger_id, delivery_id, lease)
select ?1, value ->> 0, value ->> 1 from json_each(?2)
