-- Whether an app exists.
select exists (select from tidegate.apps where name = $1)
