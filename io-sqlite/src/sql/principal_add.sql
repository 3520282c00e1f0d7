insert into principals (id, admin, password_hash, created_at) values (?1, ?2, ?3, ?4) on conflict (id) do nothing
