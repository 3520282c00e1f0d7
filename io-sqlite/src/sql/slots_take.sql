-- Takes a slot for a claim.
insert or replace into slots (trigger_id, delivery_id, lease) values (?1, ?2, ?3)
