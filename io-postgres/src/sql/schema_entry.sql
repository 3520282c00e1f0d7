-- Records an applied migration: its version, its description and its checksum.
insert into tidegate._sqlx_migrations (version, description, success, checksum, execution_time)
values ($1, $2, true, $3, 0)
