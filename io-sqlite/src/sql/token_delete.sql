delete from tokens where name = ?1
