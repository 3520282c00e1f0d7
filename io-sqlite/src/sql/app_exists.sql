select exists (select 1 from apps where name = ?1)
