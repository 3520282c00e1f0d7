-- Records a migration as applied. The execution time is not measured; sqlx also writes -1 before it
-- has measured it.
insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (?1, ?2, 1, ?3, -1)
