insert or replace into call_keys (app, key, digest, delivery_id, created_at) values (?1, ?2, ?3, ?4, ?5)
