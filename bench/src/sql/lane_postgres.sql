select id from tidegate.triggers where app = 'bench' and name = 'go' and deleted_at is null
