-- Returns whether the principal ?1 exists.
select exists (select 1 from principals where id = ?1)
