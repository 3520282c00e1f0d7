select id from triggers where app = 'bench' and name = 'go' and deleted_at is null
