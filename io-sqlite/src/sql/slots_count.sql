select count(*) from slots where trigger_id = ?1
