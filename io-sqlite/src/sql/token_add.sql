insert into tokens (name, principal, digest, created_at, expires_at) values (?1, ?2, ?3, ?4, ?5) on conflict (name) do nothing
