-- Whether a principal exists.
select exists (select from tidegate.principals where id = $1)
