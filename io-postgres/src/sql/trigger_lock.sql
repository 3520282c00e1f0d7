-- Locks all triggers of an app, in the order of their ids.
select id from tidegate.triggers where app = $1 and deleted_at is null order by id for update
