update dead_letters set resolution = ?2 where id in (select value from json_each(?1))
