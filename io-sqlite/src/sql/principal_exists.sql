select exists (select 1 from principals where id = ?1)
