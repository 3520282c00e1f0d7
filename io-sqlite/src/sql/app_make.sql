insert into apps (name, created_at) values (?1, ?2) on conflict (name) do nothing
