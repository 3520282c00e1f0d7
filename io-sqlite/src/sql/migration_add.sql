-- Nobody asks how long it took; -1 is what sqlx writes until it knows.
insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (?1, ?2, 1, ?3, -1)
