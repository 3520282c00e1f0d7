-- Returns whether the app ?1 exists.
select exists (select 1 from apps where name = ?1)
