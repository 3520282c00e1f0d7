delete from principals where id = ?1
