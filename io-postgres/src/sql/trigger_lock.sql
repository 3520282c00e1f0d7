select id from tidegate.triggers where app = $1 and deleted_at is null order by id for update
