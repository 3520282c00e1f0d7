-- Marks a trigger as deleted. Its outbox rows and dead letters still refer to it.
update tidegate.triggers set deleted_at = clock_timestamp() where app = $1 and name = $2 and deleted_at is null
