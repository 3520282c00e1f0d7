-- Sets the floor of the lane ?1 to the row ?3, which is due at ?2.
insert or replace into floors (trigger_id, due_at, id) values (?1, ?2, ?3)
