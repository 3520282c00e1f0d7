-- Sets the resolution ?2 of the letters ?1, a JSON array of ids.
update dead_letters set resolution = ?2 where id in (select value from json_each(?1))
